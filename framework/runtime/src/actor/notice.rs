//! What a guardian says of its children in the log, each with what to do about it.
//!
//! It decides nothing. It may depend on `guardian` for the child that it speaks of.

use std::time::Duration;

use callboard_protocol::code::Code;
use tracing::field::display;

use super::guardian::Child;

/// Says that a stop waits for the calls of a child, and for how long at most.
pub(super) fn waits(child: &dyn Child, left: Duration) {
    let (name, key) = (child.name(), child.key());
    let (running, waiting) = (child.running(), child.waiting());
    let seconds = left.as_secs_f64();
    tracing::warn!(
        actor = name,
        key,
        running,
        waiting,
        "the stop waits for calls that run or wait here, for {seconds:.1} s at most, which is left of the \
         grace; what has not ended by then is dropped; a second Ctrl-C does not shorten it, unless the \
         program waits for one"
    );
}

/// Says that the grace of a stop is over, and what becomes of the calls that are left.
pub(super) fn grace_over(child: &dyn Child, grace: Duration) {
    let (name, key) = (child.name(), child.key());
    let (running, waiting) = (child.running(), child.waiting());
    tracing::warn!(
        actor = name,
        key,
        running,
        waiting,
        ?grace,
        "the grace is over, and not all calls have ended: those that wait are refused, and those \
         that run are dropped where they next await; give it more grace, or the calls less to do"
    );
}

/// Says that a child goes on whatever is done.
pub(super) fn cannot_end(child: &dyn Child) {
    let (name, key) = (child.name(), child.key());
    tracing::error!(
        actor = name,
        key,
        "a handler still runs and does not await, so nothing can end it: the stop goes on without \
         it, and the process cannot end before it returns; move work that computes or blocks to \
         `tokio::task::spawn_blocking`"
    );
}

/// Says that a service could not be started, and what comes of it.
pub(super) fn service_given_up(service: &str, failure: &str) {
    tracing::error!(
        service,
        failure,
        "a service could not be started and is given up: this node withdraws it, and calls go to \
         other nodes that host it; mend what its constructor fails with, and start the node again"
    );
}

/// Says that an actor, or a service whose constructor failed, starts anew, and when.
pub(super) fn restarting(child: &dyn Child, failure: &str, delay: Duration) {
    let (name, key) = (child.name(), child.key());
    // A service has its name.
    let address = (!child.is_service()).then(|| display(child.addr()));
    tracing::warn!(
        actor = name,
        key,
        address,
        failure,
        ?delay,
        "actor failed; restarting"
    );
}

/// Says that an actor is not restarted any more, and what to do.
pub(super) fn given_up(actor: &dyn Child, failure: &str, why: &str) {
    let code = Code::Quarantined.text();
    let (name, key, address) = (actor.name(), actor.key(), actor.addr());
    tracing::error!(
        code,
        actor = name,
        key,
        %address,
        failure,
        "actor failed; giving up, as {why}: calls of it fail until its quarantine ends; mend what \
         it fails with, then spawn a new one, or release one with a key on this node by \
         `node.stop_actor(&actor, grace).await`"
    );
}
