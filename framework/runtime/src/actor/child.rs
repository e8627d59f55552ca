//! What a guardian does with its children, whatever they are.
//!
//! It may depend on `guardian` for whom a child tells of its end.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use callboard_protocol::id::ActorAddr;
use futures_util::future::BoxFuture;
use ractor::ActorCell;
use tokio::time::Instant;

use super::{Ended, Settings, guardian::Guardian, incarnation::Incarnation, life::Cut};

/// A child that is being started: its incarnation, or why there is none.
pub(crate) type Starting = Pin<Box<dyn Future<Output = Result<Incarnation, String>> + Send>>;

/// What a guardian does with its children. Implemented by `resident`.
pub(crate) trait Child: Send + Sync + 'static {
    /// Makes an incarnation with this number that runs no turn yet and has no task, of what has a key.
    fn tenant(self: Arc<Self>, guardian: &Guardian, number: u64) -> Option<Incarnation>;
    /// Makes an incarnation that runs no turn yet, linked to the ractor actor of its guardian.
    fn start(self: Arc<Self>, guardian: ActorCell) -> Starting;
    /// Takes in which incarnation its turns are run by from now on, BEFORE the first of them.
    fn enter(&self, incarnation: Incarnation);
    /// Returns the definition's name.
    fn name(&self) -> &'static str;
    /// Returns the address.
    fn addr(&self) -> ActorAddr;
    /// Returns the key, of a keyed actor.
    fn key(&self) -> Option<String>;
    /// Returns whether it has a key.
    fn is_keyed(&self) -> bool;
    /// Returns whether it is a service, which other nodes may host too.
    fn is_service(&self) -> bool;
    /// Returns how many calls run.
    fn running(&self) -> usize;
    /// Returns how many messages wait.
    fn waiting(&self) -> usize;
    /// Returns how many streams that its turns have answered with a stop waits for.
    fn streams(&self) -> usize;
    /// Returns the settings.
    fn settings(&self) -> &Settings;
    /// Refuses further messages; what waits still runs.
    fn close(&self);
    /// Has a stop of it wait for no stream.
    fn cut_streams(&self);
    /// Returns whether it refuses further messages: its next end is its last.
    fn is_closed(&self) -> bool;
    /// Drops the running turns at their next await, and has their callers told why; returns the
    /// incarnation that it told to end.
    fn kill(&self, why: Cut) -> Option<Incarnation>;
    /// As [`kill`](Self::kill), for its own children and all below them.
    fn kill_children(&self);
    /// Is told that the time for which it rings has come.
    fn rang(&self, at: Instant);
    /// Is told that an incarnation ended.
    fn incarnation_ended(&self);
    /// Is told why it is given up, BEFORE it is told of its end.
    fn given_up(&self, why: String);
    /// Is told once that it will not run again.
    fn ended(&self, why: Ended);
    /// Returns whether it will not run again.
    fn has_ended(&self) -> bool;
    /// Waits until no turn and no state of it is there any more, though it may have ended before.
    fn wait_vacated(&self) -> BoxFuture<'_, ()>;
    /// Stops its own children.
    fn stop_children(&self, grace: Duration) -> BoxFuture<'_, ()>;
    /// Waits until it will not run again.
    fn wait_ended(&self) -> BoxFuture<'_, ()>;
}
