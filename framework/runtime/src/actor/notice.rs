//! What a guardian says of its children in the log, each with what to do about it.
//!
//! It decides nothing. It may depend on `guardian` for the child that it speaks of.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use callboard_protocol::code::Code;
use tracing::field::display;

use super::child::Child;

/// Says that a stop waits for the calls and the streams of a child, and for how long at most; `all` is what the node has to wait for
/// besides, whose stop comes before or after it.
pub(super) fn waits(child: &dyn Child, all: &[Arc<dyn Child>], left: Duration) {
    let Named {
        service,
        actor,
        key,
    } = Named::of(child);
    let (running, waiting, streams) = (child.running(), child.waiting(), streams(child));
    let (also, seconds) = (others(child, all), left.as_secs_f64());
    let what = match (running + waiting, streams) {
        (0, Some(_)) => "streams that have a deadline and have not ended",
        (_, None) => "calls that run or wait here",
        (_, Some(_)) => {
            "calls that run or wait here, and for streams that have a deadline and have not ended"
        }
    };
    tracing::warn!(
        service,
        actor,
        key,
        running,
        waiting,
        streams,
        also,
        "the stop waits for {what}, for {seconds:.1} s at most, which is left of the \
         grace; what has not ended by then is dropped; a second Ctrl-C does not shorten it, unless the \
         program waits for one"
    );
}

/// Says that the grace of a stop is over, and what becomes of the calls and the streams that are left.
pub(super) fn grace_over(child: &dyn Child, grace: Duration) {
    let Named {
        service,
        actor,
        key,
    } = Named::of(child);
    let (running, waiting) = (child.running(), child.waiting());
    if let Some(streams) = streams(child) {
        tracing::warn!(
            service,
            actor,
            key,
            running,
            waiting,
            streams,
            ?grace,
            "the grace is over, and not all streams have ended: they are cut, and their readers get CB1026; calls \
             that wait are refused, and those that run are dropped where they next await; give it more grace, or a \
             subscription `timeout = \"none\"` on its handler, for which no stop waits"
        );
        return;
    }
    tracing::warn!(
        service,
        actor,
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
    let Named {
        service,
        actor,
        key,
    } = Named::of(child);
    tracing::error!(
        service,
        actor,
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
    let Named {
        service,
        actor,
        key,
    } = Named::of(child);
    // A service has its name.
    let (address, what) = match child.is_service() {
        true => (None, "service"),
        false => (Some(display(child.addr())), "actor"),
    };
    tracing::warn!(
        service,
        actor,
        key,
        address,
        failure,
        ?delay,
        "{what} failed; restarting"
    );
}

/// Says that a child is not restarted any more, as a sibling of it has failed too often.
pub(super) fn given_up_too(child: &dyn Child) {
    let Named { service, actor, .. } = Named::of(child);
    tracing::error!(service, actor, "given up with the sibling that failed");
}

/// Says that an actor is not restarted any more, and what to do.
pub(super) fn given_up(actor: &dyn Child, failure: &str, why: &str) {
    let code = Code::Quarantined.text();
    let (name, key, address) = (actor.name(), actor.key(), actor.addr());
    let next = match key {
        Some(_) => "release it on this node by `node.stop_actor(&actor, grace).await`",
        None => "spawn a new one",
    };
    tracing::error!(
        code,
        actor = name,
        key,
        %address,
        failure,
        "actor failed; giving up, as {why}: calls of it fail until its quarantine ends; mend what \
         it fails with, then {next}"
    );
}

/// Returns how many streams of a child a stop waits for, if there are any.
fn streams(child: &dyn Child) -> Option<usize> {
    Some(child.streams()).filter(|streams| *streams > 0)
}

/// What a child is called in a line: by what it is.
struct Named {
    service: Option<&'static str>,
    actor: Option<&'static str>,
    key: Option<String>,
}

impl Named {
    fn of(child: &dyn Child) -> Self {
        let (name, is_service) = (child.name(), child.is_service());
        Self {
            service: is_service.then_some(name),
            actor: (!is_service).then_some(name),
            key: child.key(),
        }
    }
}

/// Names those but one that have calls or streams, of each how many; nothing if there are none.
fn others(child: &dyn Child, all: &[Arc<dyn Child>]) -> Option<String> {
    let others = all.iter().filter(|it| it.addr() != child.addr());
    let others: Vec<_> = others.collect();
    let mut text = String::new();
    for (number, other) in others.iter().enumerate() {
        let (running, waiting) = (other.running(), other.waiting());
        let streams = streams(&***other).map(|streams| format!(", {streams} streams"));
        let comma = if number > 0 { ", " } else { "" };
        if number >= OTHERS_MAX {
            // A string takes what is written.
            let _ = write!(text, "{comma}and {} more", others.len() - number);
            break;
        }
        let kind = if other.is_service() {
            "service"
        } else {
            "actor"
        };
        let key = other.key().map(|key| format!(" {key}"));
        let (name, key) = (other.name(), key.unwrap_or_default());
        let streams = streams.unwrap_or_default();
        let _ = write!(
            text,
            "{comma}{kind} {name}{key} ({running} running, {waiting} waiting{streams})"
        );
    }
    (!text.is_empty()).then_some(text)
}

/// So many names are a line.
const OTHERS_MAX: usize = 8;
