//! The turns of one actor: first in, first out; readers beside each other, writers alone.
//!
//! All turns of an actor run on the task of its residence, so that no state is locked: readers
//! borrow it together, and the borrow checker proves that a writer has it alone.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    behaviour::{Behaviour, TurnEnd},
    cell::{Cell, Work},
    life::Life,
    mailbox::Popped,
    stint::Stint,
};

/// Why the turns ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// The mailbox is closed and all that was in it has run.
    Drained,
    /// No message came for the idle time, or the actor was to make room, and no stream is open. One may have come since.
    Idle,
    /// No message came for a moment: the state can wait without a task. One may have come since.
    AtRest,
    /// A turn was dropped in the middle; the state is not to be used.
    Aborted,
}

enum Step {
    Admitted,
    Ended(TurnEnd),
    Over,
}

/// Runs an actor's turns until its mailbox is closed and empty.
pub(super) async fn run<B: Behaviour>(
    state: &mut B,
    cell: &Cell<B::Item>,
    world: &Arc<B::World>,
    life: &Arc<Life>,
) -> Exit {
    let work = cell.work();
    let mut seat = None;
    let mut now = None;
    // Where the message of the next turn lies, until the turn takes it.
    let mut place = None;
    let mut stint = Stint::default();
    loop {
        // Turns that never wait must let other tasks, and a kill, in between.
        let paused = stint.pause(now).await;
        // A killed incarnation leaves what waits to the next one.
        if life.is_over() {
            return Exit::Drained;
        }
        let (coming, waited) = waits(pin!(next(cell, &mut place))).await;
        if waited {
            stint.rested();
        }
        match coming {
            Next::Message => {}
            Next::Idle => return Exit::Idle,
            Next::AtRest => return Exit::AtRest,
            Next::Closed => return Exit::Drained,
        }
        // The end of one turn is the beginning of the next, if nothing was in between.
        let at = now.take().filter(|_| !paused && !waited);
        B::admit(world, &mut place, at);
        let Some(item) = &place else { continue };
        let end = if B::exclusive(item) {
            let seat = seat.get_or_insert_with(|| B::seat(world, life));
            work.set(1);
            let end = state.run_exclusive(seat, &mut place).await;
            work.set(0);
            now = B::ended_at(seat);
            end
        } else {
            run_readers(state, cell, world, &mut place, life, &mut seat, &work).await
        };
        if end == TurnEnd::Aborted {
            return Exit::Aborted;
        }
    }
}

/// Runs readers beside each other until none runs and a writer, or nothing, waits.
///
/// Most handlers return without waiting. So a turn is polled once in a place that the next turn
/// uses again, and joins those that wait, each with a waker of its own, only if it has to.
async fn run_readers<B: Behaviour>(
    state: &B,
    cell: &Cell<B::Item>,
    world: &Arc<B::World>,
    admitted: &mut Option<B::Item>,
    life: &Arc<Life>,
    spare: &mut Option<B::Seat>,
    work: &Work<'_>,
) -> TurnEnd {
    let mut waiting = Waiting::default();
    let mut place = Box::pin(None);
    let mut now = None;
    let mut stint = Stint::default();
    loop {
        if let Some(item) = admitted.take() {
            let seat = spare.take().unwrap_or_else(|| B::seat(world, life));
            work.set(waiting.len() + 1);
            place.set(Some(state.run_shared(seat, item)));
            match poll_fn(|cx| Poll::Ready(poll_place(place.as_mut(), cx))).await {
                Poll::Ready((end, seat)) => {
                    // Those that wait may take their time before the next one begins.
                    now = B::ended_at(&seat).filter(|_| waiting.len() == 0);
                    *spare = Some(seat);
                    place.set(None);
                    if end == TurnEnd::Aborted {
                        return end;
                    }
                }
                Poll::Pending => waiting.push(mem::replace(&mut place, Box::pin(None))),
            }
        }
        work.set(waiting.len());
        let paused = stint.pause(now).await;
        let step = poll_fn(|cx| {
            if let Poll::Ready(Some((end, _))) = waiting.poll_next(cx) {
                return Poll::Ready(Step::Ended(end));
            }
            if waiting.len() < cell.settings().readers && !life.is_over() {
                let wanted = |item: &B::Item| !B::exclusive(item);
                let popped = cell.mailbox.poll_pop(cx, wanted, admitted);
                if let Poll::Ready(Popped::Message) = popped {
                    return Poll::Ready(Step::Admitted);
                }
            }
            if waiting.len() == 0 {
                Poll::Ready(Step::Over)
            } else {
                Poll::Pending
            }
        });
        let (step, waited) = waits(pin!(step)).await;
        if waited {
            stint.rested();
        }
        let at = now.take().filter(|_| !paused && !waited);
        match step {
            Step::Admitted => B::admit(world, admitted, at),
            Step::Ended(TurnEnd::Done) => {}
            Step::Ended(TurnEnd::Aborted) => return TurnEnd::Aborted,
            Step::Over => return TurnEnd::Done,
        }
    }
}

/// Turns that wait for something. It takes no memory before the first one.
struct Waiting<F>(Option<FuturesUnordered<Present<F>>>);

impl<F: Future> Waiting<F> {
    fn push(&mut self, turn: Pin<Box<Option<F>>>) {
        self.0.get_or_insert_default().push(Present(turn));
    }

    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, FuturesUnordered::len)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        match &mut self.0 {
            Some(turns) => turns.poll_next_unpin(cx),
            None => Poll::Ready(None),
        }
    }
}

impl<F> Default for Waiting<F> {
    fn default() -> Self {
        Self(None)
    }
}

/// A turn in its place.
struct Present<F>(Pin<Box<Option<F>>>);

impl<F: Future> Future for Present<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        poll_place(self.0.as_mut(), cx)
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

fn poll_place<F: Future>(place: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    match place.as_pin_mut() {
        Some(turn) => turn.poll(cx),
        None => Poll::Pending,
    }
}

/// Awaits a future; returns its value, and whether it was not there at once.
pub(super) async fn waits<F: Future>(mut future: Pin<&mut F>) -> (F::Output, bool) {
    let mut polls = 0;
    let value = poll_fn(|cx| {
        polls += 1;
        future.as_mut().poll(cx)
    });
    (value.await, polls > 1)
}

/// What comes next for an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A message, which is in its place, or waits if it was not to be taken.
    Message,
    /// No message came for the idle time, or the actor was to make room, and no stream was open.
    Idle,
    /// No message came for a moment, of an actor with an idle time.
    AtRest,
    /// The mailbox is closed and empty.
    Closed,
}

/// Waits for the next message, which is put into `place`.
pub(super) async fn next<T>(cell: &Cell<T>, place: &mut Option<T>) -> Next {
    next_if(cell, place, |_| true).await
}

/// Waits for the next message, which is put into `place` if it is `wanted`, and else left where it is.
pub(super) async fn next_if<T>(
    cell: &Cell<T>,
    place: &mut Option<T>,
    mut wanted: impl FnMut(&T) -> bool,
) -> Next {
    loop {
        let mut message = poll_fn(|cx| cell.mailbox.poll_pop(cx, &mut wanted, place));
        let popped = match cell.idle() {
            None => message.await,
            Some(idle) => match poll_once(pin!(&mut message)).await {
                Poll::Ready(popped) => popped,
                // Apart, so that only an actor that is idle has a place for the sleep.
                Poll::Pending => match Box::pin(within(idle.min(LINGER), cell, message)).await {
                    Some(popped) => popped,
                    // Somebody reads from it: the streams end with the activation.
                    None if cell.is_streaming() && idle <= LINGER => continue,
                    None if idle <= LINGER || makes_room(cell) => return Next::Idle,
                    None => return Next::AtRest,
                },
            },
        };
        return match popped {
            Popped::Message | Popped::OtherKind => Next::Message,
            Popped::Closed => Next::Closed,
        };
    }
}

/// Waits for the message; returns nothing if the time passes first, or the actor is to make room. A message that is
/// there wins.
async fn within<T, F: Future>(limit: Duration, cell: &Cell<T>, message: F) -> Option<F::Output> {
    let mut message = pin!(message);
    let mut sleep = pin!(tokio::time::sleep(limit));
    let first = poll_fn(|cx| {
        if let Poll::Ready(popped) = message.as_mut().poll(cx) {
            return Poll::Ready(Some(popped));
        }
        // AFTER the message was asked for, so that whoever has the actor make room wakes this task.
        if makes_room(cell) {
            return Poll::Ready(None);
        }
        sleep.as_mut().poll(cx).map(|()| None)
    });
    first.await
}

/// Returns whether the actor ends as soon as no message waits.
pub(super) fn makes_room<T>(cell: &Cell<T>) -> bool {
    cell.is_evicted() && !cell.is_streaming()
}

/// How long an actor that has nothing to do keeps its task: one that is called again and again needs no new one for
/// each call, and one that is not gives its memory back soon.
pub(super) const LINGER: Duration = Duration::from_millis(10);
