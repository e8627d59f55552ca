//! What runs the turns of one incarnation, as its guardian holds it.
//!
//! Services and spawned actors are ractor actors. Those with keys are tenants, of which there may be a million: a
//! ractor actor costs several kilobytes, and each is made under one lock of the process.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use ractor::{ActorCell, ActorId, ActorStatus};
use tokio::time::{Instant, timeout};

/// A tenant, whatever its state is.
pub(crate) trait Occupant: Send + Sync {
    /// Returns the number of its start, which no other one of its guardian has.
    fn number(&self) -> u64;
    /// Runs what has come up; nothing if it runs or has ended.
    fn go(self: Arc<Self>);
    /// Drops its turns at their next await, and its state.
    fn kill(self: Arc<Self>);
    /// Is told that the time for which it rings has come.
    fn rang(self: Arc<Self>, at: Instant);
    /// Waits until nothing is left of it.
    fn wait_ended(&self) -> BoxFuture<'_, ()>;
}

/// An incarnation. Clones are the same one.
#[derive(Clone)]
pub(crate) enum Incarnation {
    /// A ractor actor, which has a task for as long as it is there.
    Actor(ActorCell),
    /// One that has a task while it has something to do.
    Tenant(Arc<dyn Occupant>),
}

/// Which incarnation it is, of those of one guardian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    /// By what ractor calls it.
    Actor(ActorId),
    /// By the number of its start.
    Tenant(u64),
}

impl Incarnation {
    pub(super) fn number(&self) -> Number {
        match self {
            Self::Actor(actor) => Number::Actor(actor.get_id()),
            Self::Tenant(tenant) => Number::Tenant(tenant.number()),
        }
    }

    /// Lets its turns begin.
    pub(super) fn begin(&self) {
        match self {
            // One that takes no message is over already; the guardian looks for that next.
            Self::Actor(actor) => drop(actor.send_message::<()>(())),
            Self::Tenant(tenant) => tenant.clone().go(),
        }
    }

    /// Drops its turns at their next await.
    pub(super) fn kill(&self) {
        match self {
            Self::Actor(actor) => actor.kill(),
            Self::Tenant(tenant) => tenant.clone().kill(),
        }
    }

    /// Is told that the time for which it rings has come.
    pub(super) fn rang(&self, at: Instant) {
        if let Self::Tenant(tenant) = self {
            tenant.clone().rang(at);
        }
    }

    /// Returns whether it has ended and may have said so before anybody could listen.
    pub(super) fn may_have_ended(&self) -> bool {
        match self {
            Self::Actor(actor) => actor.get_status() >= ActorStatus::Stopping,
            Self::Tenant(_) => false,
        }
    }

    /// Waits until it has ended, for so long at most.
    pub(super) async fn wait(&self, most: Duration) {
        // Whoever waits goes on either way.
        match self {
            Self::Actor(actor) => drop(actor.wait(Some(most)).await),
            Self::Tenant(tenant) => drop(timeout(most, tenant.wait_ended()).await),
        }
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incarnation").field(&self.number()).finish()
    }
}
