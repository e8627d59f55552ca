//! What a state does before its first turn and after its last one, where it has anything to do.
//!
//! ```text
//! made ── activate ── turns ── deactivate ── dropped
//!            │
//!            └─ failed: what waits is answered, the incarnation fails, its guardian begins another one
//! ```
//!
//! One that was told to end lets the streams of its turns end that have a deadline, as a turn has one, before it is
//! deactivated; afterwards it ends those that have none.
//!
//! It decides when, and answers what waits; what is done is the state's. It may depend on what `turns` may.

use std::sync::Arc;

use super::{
    behaviour::{Behaviour, Unrun},
    cell::Cell,
    life::Life,
    turns::{Exit, Next, next_if},
};

/// How a state has begun.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// Its turns may run.
    Active,
    /// No message came for it, for this reason: it has not begun.
    Unused(Exit),
    /// It cannot begin, for this reason. What waited for it has been answered.
    Failed(String),
}

/// Lets a state begin: one with a key with the first message, so that what it does belongs to the chain of that
/// call; any other one at once.
pub(super) async fn begin<B: Behaviour>(
    state: &mut B,
    cell: &Cell<B::Item>,
    world: &Arc<B::World>,
) -> Begun {
    let origin = match B::BEGINS_WITH_A_MESSAGE {
        true => first::<B>(cell, world).await,
        false => Ok(B::Origin::default()),
    };
    let origin = match origin {
        Ok(origin) => origin,
        Err(exit) => return Begun::Unused(exit),
    };
    let life = cell.life();
    let work = cell.work();
    work.set(1);
    let told = state.activate(world, &life, origin).await;
    drop(work);
    let Err(why) = told else {
        return Begun::Active;
    };
    // Those that come from now on begin the next incarnation.
    for _ in 0..cell.mailbox.len() {
        let mut place = None;
        cell.mailbox.try_pop(&mut place);
        if let Some(item) = place {
            B::refuse_unbegun(world, item, &why);
        }
    }
    Begun::Failed(format!("it could not be activated: {why}"))
}

/// Waits for the first message for which the state may begin; returns where that comes from, or why none comes.
async fn first<B: Behaviour>(
    cell: &Cell<B::Item>,
    world: &Arc<B::World>,
) -> Result<B::Origin, Exit> {
    let life = cell.life();
    loop {
        let mut origin = B::Origin::default();
        let look = |item: &B::Item| {
            origin = B::origin(item);
            false
        };
        let mut place = None;
        match next_if(cell, &mut place, look).await {
            Next::Message => {}
            Next::Idle => return Err(Exit::Idle),
            Next::AtRest => return Err(Exit::AtRest),
            Next::Closed => return Err(Exit::Drained),
        }
        if life.is_over() {
            return Err(Exit::Drained);
        }
        if B::may_begin(world) {
            return Ok(origin);
        }
        // A turn would not begin either, so that nothing is activated for it.
        cell.mailbox.try_pop(&mut place);
        if let Some(item) = place {
            B::refuse(world, item, Unrun::Stopped);
        }
    }
}

/// Lets a state that has begun do what it does after its last turn, unless it ends in the middle of one.
pub(super) async fn end<B: Behaviour>(
    state: &mut B,
    exit: Exit,
    cell: &Cell<B::Item>,
    world: &Arc<B::World>,
) {
    let life = cell.life();
    // One that is killed has no time for anything, and one that was dropped in a turn is not to be used.
    if exit == Exit::Aborted || life.is_over() {
        return;
    }
    let work = cell.work();
    work.set(1);
    state.deactivate(world, &life, exit == Exit::Idle).await;
}

/// Lets the streams end that have a deadline. Their actor was told to end, and its last turn is over.
pub(super) async fn await_streams<T>(cell: &Cell<T>, life: &Life) {
    // Those of one that is killed are cut.
    if !life.is_over() {
        cell.wait_streams_ended().await;
    }
}

/// Ends the streams that are left, BEFORE the state is dropped, which may hold what they read from: that would look
/// like their end.
pub(super) async fn end_streams<T>(cell: &Cell<T>, life: &Life) {
    if life.is_over() || cell.cuts_streams() {
        return;
    }
    life.end_in_order();
    cell.wait_no_stream().await;
}

/// Ends the streams of a state when it is dropped, however that comes: in good order they have ended then. It is dropped
/// BEFORE the state. It has the life of that state: its actor may have another one by then.
pub(super) struct Ending(Option<Arc<Life>>);

impl Ending {
    pub(super) fn of(life: Arc<Life>) -> Self {
        Self(Some(life))
    }

    /// The state stays.
    pub(super) fn avert(mut self) {
        self.0 = None;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(life) = &self.0 {
            life.end();
        }
    }
}
