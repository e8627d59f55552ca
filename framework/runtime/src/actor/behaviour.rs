//! What the actor machinery needs to know of the state it runs. Implemented once, for everything
//! that has handlers, by `service::hosting`.

use std::{future::Future, sync::Arc, time::Duration};

use callboard_protocol::time::Time;

use super::life::Life;

/// How a turn ended, as far as the actor has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// The handler returned, or was dropped because nobody waits for it any more.
    Done,
    /// A `&mut self` handler with `abort` was dropped in the middle: the state is not to be used.
    Aborted,
}

/// Why a message is answered without being run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unrun {
    /// The actor stopped before the message's turn.
    Stopped,
    /// The actor failed too often and was given up.
    Quarantined,
}

/// A state with turns.
pub(crate) trait Behaviour: Sized + Send + Sync + 'static {
    /// A message as it waits in the mailbox.
    type Item: Send + 'static;
    /// What the state is made from and what every turn may use; it outlives restarts.
    type World: Send + Sync + 'static;
    /// What a turn uses and leaves to the next one.
    type Seat: Send;
    /// What a message tells of where it comes from.
    type Origin: Default + Send;
    /// Whether the state has something to do before its first turn.
    const ACTIVATES: bool;
    /// Whether the state has something to do after its last turn.
    const DEACTIVATES: bool;
    /// Whether a state that has something to do begins with its first message, and not at once.
    const BEGINS_WITH_A_MESSAGE: bool;

    /// Returns the key of a keyed actor, as logs tell it.
    fn key(world: &Self::World) -> Option<String>;
    /// Makes a fresh state. A panic counts as a failure of the actor.
    fn create(world: &Arc<Self::World>) -> Self;
    /// Is told that the turns of a fresh state begin: nothing that it was made from is used again. Until then it may
    /// have been dropped without any trace.
    fn begins(world: &Self::World);
    /// Returns whether the message needs the state for itself.
    fn exclusive(item: &Self::Item) -> bool;
    /// Answers the message instead of running it.
    fn refuse(world: &Self::World, item: Self::Item, why: Unrun);
    /// Leaves the message in its place if it is still worth running; otherwise takes it out and
    /// answers it. `now` is nothing if the time has to be asked for.
    fn admit(world: &Self::World, place: &mut Option<Self::Item>, now: Option<Time>);
    /// Makes a seat, in which one turn runs at a time; `life` ends with the incarnation.
    fn seat(world: &Arc<Self::World>, life: &Arc<Life>) -> Self::Seat;
    /// Returns when the last turn in the seat ended, if it did.
    fn ended_at(seat: &Self::Seat) -> Option<Time>;
    /// Runs a turn beside others; gives its seat back.
    fn run_shared(
        &self,
        seat: Self::Seat,
        item: Self::Item,
    ) -> impl Future<Output = (TurnEnd, Self::Seat)> + Send;
    /// Takes the message out of its place and runs its turn alone.
    fn run_exclusive(
        &mut self,
        seat: &mut Self::Seat,
        place: &mut Option<Self::Item>,
    ) -> impl Future<Output = TurnEnd> + Send;
    /// Returns where the message comes from.
    fn origin(item: &Self::Item) -> Self::Origin;
    /// Returns whether a turn may begin now.
    fn may_begin(world: &Self::World) -> bool;
    /// Answers the message, for which the state could not begin.
    fn refuse_unbegun(world: &Self::World, item: Self::Item, why: &str);
    /// Does what comes before the first turn; the message that it begins with comes from `origin`. Of one that
    /// failed nothing is used any more.
    fn activate(
        &mut self,
        world: &Arc<Self::World>,
        life: &Arc<Life>,
        origin: Self::Origin,
    ) -> impl Future<Output = Result<(), String>> + Send;
    /// Does what comes after the last turn: nobody has called for the idle time, or it was told to end.
    fn deactivate(
        &mut self,
        world: &Arc<Self::World>,
        life: &Arc<Life>,
        is_idle: bool,
    ) -> impl Future<Output = ()> + Send;
    /// Is told that the state will not be used any more, after its last turn and in good order.
    fn retire(&self, world: &Self::World);
    /// Is told that an incarnation ended: what it started ends too.
    fn incarnation_ended(world: &Self::World);
    /// Stops the actor's own children, BEFORE the actor itself is stopped.
    fn stop_children(world: &Self::World, grace: Duration) -> impl Future<Output = ()> + Send;
    /// Drops the turns of the actor's own children and ends them, without waiting.
    fn kill_children(world: &Self::World);
    /// Is told once that the actor will not run again, AFTER its queue was answered.
    fn ended(world: &Self::World, why: super::Ended);
}
