//! The calls of a service: beside each other, on as many threads as there are.
//!
//! ```text
//! mailbox ── dispatcher ── worker: a first message, then what waits
//!                          worker: …   at most one at work for each thread
//! ```
//!
//! A task for each call would cost more than a short call does. So a worker goes on with the next
//! message as long as its handlers return without waiting, for a [`Stint`]. One whose handler waits gives up its
//! desk, and ends with that handler. A handler that computes for long holds one desk and no more.
//!
//! It may depend on what `turns` may, and on `lifecycle` for the end of its streams. A service keeps no state that a panic could spoil, so a panic
//! ends its call only.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, task::Poll};

use futures_util::{FutureExt, future::select, poll};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use crate::task::Tasks;

use super::{
    Settings,
    behaviour::Behaviour,
    cell::Cell,
    life::Life,
    lifecycle,
    stint::Stint,
    turns::{Next, next},
};

/// Runs a service's calls until its mailbox is closed and empty: at most as many at once as its
/// settings say.
pub(super) async fn run<B: Behaviour>(
    state: Arc<B>,
    cell: &Arc<Cell<B::Item>>,
    world: &Arc<B::World>,
    places: &Arc<Semaphore>,
    tasks: &Tasks,
) {
    let desks = Arc::new(Semaphore::new(Handle::current().metrics().num_workers()));
    let life = cell.life();
    let _ending = lifecycle::Ending::of(life.clone());
    loop {
        // Both are taken BEFORE the message, so that one that waits can still be withdrawn.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let Ok(desk) = desks.clone().acquire_owned().await else {
            return;
        };
        let mut item = None;
        if next(cell, &mut item).await != Next::Message {
            break;
        }
        cell.began_work();
        let worker = Worker {
            state: state.clone(),
            cell: cell.clone(),
            world: world.clone(),
            life: life.clone(),
        };
        tasks.spawn("service", async move {
            worker.run(item, desk).await;
            drop(place);
        });
    }
    wait_ended(cell, places).await;
    if cell.is_streaming() {
        lifecycle::await_streams(cell, &life).await;
        lifecycle::end_streams(cell, &life).await;
    }
}

/// Returns the places for the calls of a service with these settings.
pub(crate) fn places(settings: &Settings) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(settings.readers))
}

/// Waits until every call has ended: all places are back.
pub(super) async fn wait_ended<T>(cell: &Cell<T>, places: &Semaphore) {
    let all = u32::try_from(cell.settings().readers).unwrap_or(u32::MAX);
    let _ = places.acquire_many(all).await;
}

struct Worker<B: Behaviour> {
    state: Arc<B>,
    cell: Arc<Cell<B::Item>>,
    world: Arc<B::World>,
    life: Arc<Life>,
}

impl<B: Behaviour> Drop for Worker<B> {
    fn drop(&mut self) {
        self.cell.ended_work();
    }
}

impl<B: Behaviour> Worker<B> {
    async fn run(self, mut waiting: Option<B::Item>, desk: OwnedSemaphorePermit) {
        let mut spare = None;
        // The end of one turn is the beginning of the next, if nothing was in between.
        let mut now = None;
        let mut stint = Stint::default();
        while waiting.is_some() {
            B::admit(&self.world, &mut waiting, now.take());
            if let Some(item) = waiting.take() {
                let seat = spare.take();
                let seat = seat.unwrap_or_else(|| B::seat(&self.world, &self.life));
                // The caller was answered before a panic comes here; the task must not die loudly.
                let turn = self.state.run_shared(seat, item);
                let mut turn = pin!(AssertUnwindSafe(turn).catch_unwind());
                match poll!(&mut turn) {
                    Poll::Ready(ended) => spare = ended.ok().map(|(_, seat)| seat),
                    Poll::Pending => {
                        drop(desk);
                        let _ = select(turn, pin!(self.life.ended())).await;
                        return;
                    }
                }
            }
            let ended = spare.as_ref().and_then(B::ended_at);
            now = match stint.pause(ended).await {
                true => None,
                false => ended,
            };
            if self.life.is_over() {
                // What waits is left to the next incarnation.
                return;
            }
            self.cell.mailbox.try_pop(&mut waiting);
        }
    }
}
