//! Keeps the order of those who wait for room on a lane.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, MutexGuard};

/// The queue before one lane. While nobody waits, passing costs one load.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    waiting: AtomicUsize,
    queue: Mutex<()>,
}

/// A place in the queue, and, once it is reached, the front of it.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    // The front is left BEFORE the place is, so that whoever finds the turnstile free is not ahead
    // of anybody.
    _front: MutexGuard<'a, ()>,
    _place: Place<'a>,
}

impl Turnstile {
    /// Returns whether nobody waits, so that one may go at once.
    pub(crate) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Waits for the front of the queue: first come, first served.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the queue.
    pub(crate) async fn enter(&self) -> Turn<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let place = Place(self);
        Turn {
            _front: self.queue.lock().await,
            _place: place,
        }
    }
}

/// Someone who is counted as waiting.
#[derive(Debug)]
struct Place<'a>(&'a Turnstile);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_go_in_order_and_one_who_leaves_is_not_waited_for() {
        let turnstile = Turnstile::default();
        let first = turnstile.enter().await;
        assert!(!turnstile.is_free());
        let mut second = Box::pin(turnstile.enter());
        let mut third = Box::pin(turnstile.enter());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(first);
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(second);
        assert!(futures_util::poll!(&mut third).is_ready());
        drop(third);
        assert!(turnstile.is_free());
    }
}
