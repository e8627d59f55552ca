//! What there is of an actor's incarnations besides their turns: states that are not dropped yet, and streams that
//! turns have answered with and that are still open.
//!
//! It counts, and wakes who waits until nothing is left. What a stop waits for is decided in `lifecycle`.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// Where the states, the turns and the streams of an actor's incarnations are.
#[derive(Debug, Default)]
pub(super) struct House {
    /// How many states are not dropped yet.
    held: AtomicUsize,
    /// How many streams are open.
    open: AtomicUsize,
    /// How many of them have a deadline.
    finite: AtomicUsize,
    /// Wakes who waits for one of the three to be none.
    emptied: Notify,
}

impl House {
    /// Returns what an incarnation holds for as long as there is anything of its state.
    pub(super) fn enter(self: &Arc<Self>) -> Housed {
        self.held.fetch_add(1, Ordering::AcqRel);
        Housed(self.clone())
    }

    /// Returns whether nothing of any incarnation's state is left.
    pub(super) fn is_vacated(&self) -> bool {
        self.held.load(Ordering::Acquire) == 0
    }

    /// Returns how many streams are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Returns how many streams are open that have a deadline.
    pub(super) fn finite(&self) -> usize {
        self.finite.load(Ordering::Acquire)
    }

    /// Has those who wait look again.
    pub(super) fn wake(&self) {
        self.emptied.notify_waiters();
    }

    /// Waits until `holds`, which looks at what is counted here, or at what [`wake`](Self::wake) is called for.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        loop {
            let mut emptied = pin!(self.emptied.notified());
            // BEFORE the look, so that a change in between wakes it.
            emptied.as_mut().enable();
            if holds() {
                return;
            }
            emptied.await;
        }
    }
}

/// Says for as long as it is there that something of an incarnation's state is.
#[derive(Debug)]
pub(super) struct Housed(Arc<House>);

impl Clone for Housed {
    fn clone(&self) -> Self {
        self.0.enter()
    }
}

impl Drop for Housed {
    fn drop(&mut self) {
        if self.0.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.wake();
        }
    }
}

/// Counts the streams that the turns of an actor answer with.
#[derive(Clone, Debug)]
pub(crate) struct Streams(Arc<House>);

impl Streams {
    pub(super) fn of(house: &Arc<House>) -> Self {
        Self(house.clone())
    }

    /// Counts a stream, which has a deadline or not, until what is returned is dropped.
    pub(crate) fn opened(&self, is_finite: bool) -> Open {
        self.0.open.fetch_add(1, Ordering::AcqRel);
        self.0
            .finite
            .fetch_add(usize::from(is_finite), Ordering::AcqRel);
        Open {
            house: self.0.clone(),
            is_finite,
        }
    }
}

/// A stream that goes on after its turn.
#[derive(Debug)]
pub(crate) struct Open {
    house: Arc<House>,
    is_finite: bool,
}

impl Drop for Open {
    fn drop(&mut self) {
        let house = &self.house;
        let was_last_finite = self.is_finite && house.finite.fetch_sub(1, Ordering::AcqRel) == 1;
        if house.open.fetch_sub(1, Ordering::AcqRel) == 1 || was_last_finite {
            house.wake();
        }
    }
}
