//! Numbers that many threads add to at once, in one cache line for each of a few threads: a single
//! one would travel between the cores with each addition, which costs more than a short call.

use std::{
    array,
    cell::Cell,
    sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
};

use prometheus_client::metrics::{counter, gauge};

/// A value for each of [`SHARDS`] groups of threads.
#[derive(Debug)]
pub(super) struct Sharded<T>([Line<T>; SHARDS]);

/// Starts at a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line<T>(T);

impl<T> Sharded<T> {
    /// Returns the value of this thread's group.
    #[inline]
    pub(super) fn own(&self) -> &T {
        &self.0[shard()].0
    }

    /// Returns the values of all groups.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|line| &line.0)
    }
}

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self(array::from_fn(|_| Line::default()))
    }
}

impl counter::Atomic<u64> for Sharded<AtomicU64> {
    fn inc(&self) -> u64 {
        self.inc_by(1)
    }

    fn inc_by(&self, value: u64) -> u64 {
        self.own().fetch_add(value, Ordering::Relaxed)
    }

    fn get(&self) -> u64 {
        self.all().map(|part| part.load(Ordering::Relaxed)).sum()
    }
}

/// A gauge that is only moved up and down; its parts may be below zero, their sum is what counts.
impl gauge::Atomic<i64> for Sharded<AtomicI64> {
    fn inc(&self) -> i64 {
        self.inc_by(1)
    }

    fn inc_by(&self, value: i64) -> i64 {
        self.own().fetch_add(value, Ordering::Relaxed)
    }

    fn dec(&self) -> i64 {
        self.dec_by(1)
    }

    fn dec_by(&self, value: i64) -> i64 {
        self.own().fetch_sub(value, Ordering::Relaxed)
    }

    fn set(&self, value: i64) -> i64 {
        let before = gauge::Atomic::get(self);
        self.inc_by(value - before);
        before
    }

    fn get(&self) -> i64 {
        self.all().map(|part| part.load(Ordering::Relaxed)).sum()
    }
}

/// Returns the group of this thread, below [`SHARDS`]: threads take the groups in turn.
pub(crate) fn shard() -> usize {
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let known = SHARD.get();
    if known < SHARDS {
        return known;
    }
    let next = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    SHARD.set(next);
    next
}

/// Where a thread counts has no effect on what is counted, so nodes may share it.
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Threads in one group share a line. A number costs 64 bytes for each.
pub(super) const SHARDS: usize = 8;

#[cfg(test)]
mod tests {
    use std::thread;

    use prometheus_client::metrics::{counter::Atomic as _, gauge::Atomic as _};

    use super::*;

    #[test]
    fn what_many_threads_added_is_the_sum() {
        let (counter, gauge) = (Sharded::<AtomicU64>::default(), Sharded::default());
        thread::scope(|scope| {
            for up in 0..2 * SHARDS as i64 {
                let (counter, gauge) = (&counter, &gauge);
                scope.spawn(move || {
                    counter.inc();
                    gauge::Atomic::<i64>::inc_by(gauge, up);
                    // Down on another thread than it went up on.
                    gauge::Atomic::<i64>::dec_by(gauge, 2 * SHARDS as i64 - 1 - up);
                });
            }
        });
        assert_eq!(counter.get(), 2 * SHARDS as u64);
        assert_eq!(gauge.get(), 0);
        assert_eq!(gauge.set(7), 0);
        assert_eq!(gauge.get(), 7);
    }
}
