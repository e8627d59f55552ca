//! What an actor does by itself when it begins and when it ends: its methods with
//! `#[handler(activate)]` and `#[handler(deactivate)]`.
//!
//! Each runs as a turn does: alone, with the actor's context, and what it sends leaves under the same fence and
//! joins the same chains. Nobody waits for its reply, so its bound is the node's `turn_limit`. When they run is
//! `actor`'s to say. Depends on `call` and `instance`.

use std::{fmt, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;

use crate::{
    actor::Life,
    call::{Chain, Turn, panic_text, span},
};

use super::{Ctx, Handlers, instance::World};

/// Why an actor is deactivated: what its method with `#[handler(deactivate)]` is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deactivation {
    /// Nobody has called it for its idle time.
    Idle,
    /// It makes room: the node holds as many actors of the type as it may, `activations_max`, and this one has
    /// nothing to do.
    Evicted,
    /// The slot of its key goes to another node, and its state goes along: the type is marked `handover`.
    Moved,
    /// The slot of its key goes to another node, since this one is drained, and its state does not go along:
    /// the key begins anew there.
    Drained,
    /// Its node stops, or [`Node::stop_actor`](crate::Node::stop_actor) or its supervisor has stopped it.
    Stopped,
}

/// What a method with `#[handler(activate)]` came to, or why the actor cannot begin.
pub type Told = Result<(), String>;

/// What a method with `#[handler(activate)]` may return.
#[diagnostic::on_unimplemented(
    message = "CB0079: what runs at `activate` returns nothing or a `Result<(), E>` whose error can be displayed, and \
               not `{Self}`",
    label = "cannot be displayed",
    note = "callers that wait for the actor are told the error's text: derive or write `Display` for it, or return \
            `Result<(), String>`"
)]
pub trait Activated {
    /// Returns what it came to.
    fn told(self) -> Told;
}

impl Activated for () {
    fn told(self) -> Told {
        Ok(())
    }
}

#[diagnostic::do_not_recommend]
impl<E: fmt::Display> Activated for Result<(), E> {
    fn told(self) -> Told {
        self.map_err(|error| error.to_string())
    }
}

/// Returns what a method with `#[handler(activate)]` came to.
///
/// # Errors
/// The text of its error.
pub fn activated<R: Activated>(reply: R) -> Told {
    reply.told()
}

/// Runs what an actor does before its first turn; `chain` is that of the call that it begins with.
///
/// # Errors
/// Why it cannot begin: the text of its error or of its panic, or that it took too long.
///
/// # Cancel safety
/// Dropped in the middle, the state is not to be used.
pub(super) async fn activate<A: Handlers>(
    state: &mut A,
    world: &Arc<World<A>>,
    life: &Arc<Life>,
    chain: Chain,
) -> Told {
    let limit = world.hub.call_limits().turn_limit;
    let ctx = Ctx::resident(world.clone());
    let mut turn = turn(world, life, chain, limit);
    let hook = pin!(Some(state.run_activate(&ctx)));
    let run = AssertUnwindSafe(Turn::run(&mut turn, hook)).catch_unwind();
    match timeout(limit, run).await {
        Ok(Ok(told)) => told,
        Ok(Err(panic)) => Err(format!("it panicked: {}", panic_text(&*panic))),
        Err(_) => Err(format!(
            "it did not end within {}, the `turn_limit` of the node",
            span(limit)
        )),
    }
}

/// Runs what an actor does after its last turn, if it may still act. The actor ends whatever comes of it.
///
/// # Cancel safety
/// Dropped in the middle, the state is not to be used.
pub(super) async fn deactivate<A: Handlers>(
    state: &mut A,
    world: &Arc<World<A>>,
    life: &Arc<Life>,
    reason: Deactivation,
) {
    if world.is_lost() {
        return;
    }
    // What goes along with a slot is encoded AFTER this, and within the limit of the move.
    let limit = world.hub.call_limits().turn_limit / 2;
    let ctx = Ctx::resident(world.clone());
    let mut turn = turn(world, life, Chain::default(), limit);
    let hook = pin!(Some(state.run_deactivate(&ctx, reason)));
    let run = AssertUnwindSafe(Turn::run(&mut turn, hook)).catch_unwind();
    match timeout(limit, run).await {
        Ok(Ok(())) => {}
        Ok(Err(panic)) => tracing::error!(
            actor = ?world.this,
            ?reason,
            panic = panic_text(&*panic),
            "an actor panicked in what it does at `deactivate`, and has ended: what that was to write may be lost; mend \
             what it panics for"
        ),
        Err(_) => tracing::warn!(
            actor = ?world.this,
            ?reason,
            ?limit,
            "what an actor does at `deactivate` took too long, was dropped where it awaited, and the actor has ended: \
             what that was to write may be lost; have it do less, or raise `turn_limit`, of which it may take half"
        ),
    }
}

fn turn<A: Handlers>(
    world: &Arc<World<A>>,
    life: &Arc<Life>,
    chain: Chain,
    limit: Duration,
) -> Option<Box<Turn>> {
    let now = world.hub.now();
    // No method's turn has the actor.
    world.cell.begins(None, now);
    let mut turn = world.turn(life);
    turn.begin_apart(chain, now, now + limit);
    Some(Box::new(turn))
}
