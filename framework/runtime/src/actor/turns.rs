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

use futures_util::{
    StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};

use tokio_util::sync::CancellationToken;

use super::{
    behaviour::{Behaviour, TurnEnd},
    cell::Cell,
    mailbox::Popped,
};

/// Why the turns ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// The mailbox is closed and all that was in it has run.
    Drained,
    /// A turn was dropped in the middle; the state is not to be used.
    Aborted,
}

enum Step<T> {
    Admitted(T),
    Ended(TurnEnd),
    Over,
}

/// Runs an actor's turns until its mailbox is closed and empty.
pub(super) async fn run<B: Behaviour>(
    state: &mut B,
    cell: &Cell<B::Item>,
    world: &Arc<B::World>,
) -> Exit {
    let life = cell.token();
    let mut seat = None;
    loop {
        // Turns that never wait must let other tasks, and a kill, in between.
        tokio::task::consume_budget().await;
        // A killed incarnation leaves what waits to the next one.
        if life.is_cancelled() {
            return Exit::Drained;
        }
        let Some(item) = next(cell).await else {
            return Exit::Drained;
        };
        let Some(item) = B::admit(world, item) else {
            continue;
        };
        let end = if B::exclusive(&item) {
            let seat = seat.get_or_insert_with(|| B::seat(world, &life));
            state.run_exclusive(seat, item).await
        } else {
            run_readers(state, cell, world, item, &life, &mut seat).await
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
    first: B::Item,
    life: &Arc<CancellationToken>,
    spare: &mut Option<B::Seat>,
) -> TurnEnd {
    let mut waiting = Waiting::default();
    let mut place = Box::pin(None);
    let mut admitted = Some(first);
    loop {
        if let Some(item) = admitted.take() {
            let seat = spare.take().unwrap_or_else(|| B::seat(world, life));
            place.set(Some(state.run_shared(seat, item)));
            match poll_once(place.as_mut()).await {
                Poll::Ready((end, seat)) => {
                    *spare = Some(seat);
                    place.set(None);
                    if end == TurnEnd::Aborted {
                        return end;
                    }
                }
                Poll::Pending => waiting.push(mem::replace(&mut place, Box::pin(None))),
            }
        }
        tokio::task::consume_budget().await;
        let step = poll_fn(|cx| {
            if let Poll::Ready(Some((end, _))) = waiting.poll_next(cx) {
                return Poll::Ready(Step::Ended(end));
            }
            if waiting.len() < cell.settings().readers && !life.is_cancelled() {
                let popped = cell.mailbox.poll_pop(cx, |item| !B::exclusive(item));
                if let Poll::Ready(Popped::Message(item)) = popped {
                    return Poll::Ready(Step::Admitted(item));
                }
            }
            if waiting.len() == 0 {
                Poll::Ready(Step::Over)
            } else {
                Poll::Pending
            }
        });
        match step.await {
            Step::Admitted(item) => admitted = B::admit(world, item),
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

async fn poll_once<F: Future>(mut place: Pin<&mut Option<F>>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(poll_place(place.as_mut(), cx))).await
}

fn poll_place<F: Future>(place: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    match place.as_pin_mut() {
        Some(turn) => turn.poll(cx),
        None => Poll::Pending,
    }
}

/// Waits for the next message; nothing when the mailbox is closed and empty, or became so because
/// no message came for the idle time and no stream was open at its end.
pub(super) async fn next<T>(cell: &Cell<T>) -> Option<T> {
    loop {
        let message = poll_fn(|cx| cell.mailbox.poll_pop(cx, |_| true));
        let popped = match cell.idle() {
            Some(idle) => match within(idle, message).await {
                Some(popped) => popped,
                // Somebody reads from it: the streams end with the activation.
                None if cell.is_streaming() => continue,
                None if cell.mailbox.close_if_empty() => return None,
                None => continue,
            },
            None => message.await,
        };
        return match popped {
            Popped::Message(item) => Some(item),
            Popped::Closed | Popped::OtherKind => None,
        };
    }
}

/// Returns the future's value unless the time passes first; a value that is there wins.
async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let future = pin!(future);
    let sleep = pin!(tokio::time::sleep(limit));
    match select(future, sleep).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(((), _)) => None,
    }
}
