//! Numbers that many threads add to at once, in one cache line for each of a few threads: a single
//! one would travel between the cores with each addition, which costs more than a short call.

use std::{
    array,
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use prometheus_client::metrics::counter;

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

    use prometheus_client::metrics::counter::Atomic as _;

    use super::*;

    #[test]
    fn what_many_threads_added_is_the_sum() {
        let counter = Sharded::<AtomicU64>::default();
        thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    counter.inc();
                    counter.inc_by(2);
                });
            }
        });
        assert_eq!(counter.get(), 3 * 2 * SHARDS as u64);
    }
}
