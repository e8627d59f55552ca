//! When actors that have nothing to do are looked at again: one timer for all children of a guardian.
//!
//! A timer each would be a task each. An actor that is called stays in the list, and is looked at once for each idle
//! time. Decides nothing: who is looked at says what follows.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The times of the children of one guardian.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    times: Mutex<Times>,
    /// The first time is earlier than it was.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct Times {
    set: BTreeSet<(Instant, u64)>,
    /// Somebody waits for the first one.
    is_watched: bool,
}

impl Alarm {
    /// Has a child looked at; returns whether that needs somebody who waits for it, as nobody does yet.
    #[must_use]
    pub(super) fn add(&self, at: Instant, child: u64) -> bool {
        let mut times = self.times();
        let is_first = times.set.first().is_none_or(|first| (at, child) < *first);
        times.set.insert((at, child));
        let is_watched = std::mem::replace(&mut times.is_watched, true);
        drop(times);
        if is_first && is_watched {
            self.earlier.notify_one();
        }
        !is_watched
    }

    /// Has a child not looked at, which was to be at that time.
    pub(super) fn remove(&self, at: Instant, child: u64) {
        self.times().set.remove(&(at, child));
    }

    /// Waits until some are due; returns them, each with its time, the first few at most.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(super) async fn ring(&self) -> Vec<(Instant, u64)> {
        loop {
            let first = self.times().set.first().map(|(at, _)| *at);
            let due = self.take_due(Instant::now());
            if !due.is_empty() {
                return due;
            }
            let sleep = async {
                match first {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.earlier.notified() => {}
            }
        }
    }

    fn take_due(&self, now: Instant) -> Vec<(Instant, u64)> {
        let mut times = self.times();
        let is_due = |times: &Times| times.set.first().is_some_and(|(at, _)| *at <= now);
        let mut due = Vec::new();
        while due.len() < DUE_MAX && is_due(&times) {
            due.extend(times.set.pop_first());
        }
        due
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many are looked at before other tasks run: each gets a task of its own, which is to end before there are many.
const DUE_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_rings_at_its_time_and_the_first_one_first() {
        let (alarm, began) = (Alarm::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        assert!(alarm.add(at(3), 1), "nobody waits yet");
        assert!(!alarm.add(at(1), 2));
        assert!(!alarm.add(at(2), 3));
        alarm.remove(at(2), 3);
        assert_eq!(alarm.ring().await, [(at(1), 2)]);
        assert_eq!(began.elapsed().as_secs(), 1);
        assert_eq!(alarm.ring().await, [(at(3), 1)]);
        assert_eq!(began.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_earlier_than_the_first_one_rings_before_it() {
        let (alarm, began) = (Alarm::default(), Instant::now());
        let late = began + Duration::from_secs(3600);
        let _ = alarm.add(late, 1);
        let adds = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = alarm.add(began + Duration::from_secs(2), 2);
        };
        let (rang, ()) = tokio::join!(alarm.ring(), adds);
        assert_eq!(rang, [(began + Duration::from_secs(2), 2)]);
        assert_eq!(began.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_ring_at_once_than_may() {
        let (alarm, now) = (Alarm::default(), Instant::now());
        for child in 0..DUE_MAX as u64 + 1 {
            let _ = alarm.add(now, child);
        }
        assert_eq!(alarm.ring().await.len(), DUE_MAX);
        assert_eq!(alarm.ring().await, [(now, DUE_MAX as u64)]);
    }
}
