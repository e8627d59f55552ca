//! How long a newcomer would wait in a mailbox: drives `protocol`'s [`Pace`].
//!
//! It is told of each message that is taken out. As long as none waits behind it, that costs two
//! loads; the clock was read for the turn already. Who asks takes no lock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use callboard_protocol::{policy::Pace, time::Time};

/// What is known of one mailbox. The atomics are a measurement and order nothing: two readers that
/// take messages at once make it a little wrong, and no more.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// When the period that is being measured began; zero while nothing waits.
    since: AtomicU64,
    /// Messages that were taken out in it.
    taken: AtomicU64,
    gap: AtomicU64,
    measured_at: AtomicU64,
}

impl Backlog {
    /// Notes that a message was taken out at `now`, and so many still wait.
    pub(super) fn took_one(&self, waiting: usize, now: Time) {
        let since = self.since.load(Ordering::Relaxed);
        if since == 0 {
            if waiting > 0 {
                self.taken.store(0, Ordering::Relaxed);
                self.since.store(now.as_nanos(), Ordering::Relaxed);
            }
            return;
        }
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let took = now.saturating_since(Time::from_nanos(since));
        if took < PERIOD_MIN && waiting > 0 {
            return;
        }
        // The next period begins with this message, unless nothing waits behind it.
        let next = if waiting > 0 { now.as_nanos() } else { 0 };
        let ends = self
            .since
            .compare_exchange(since, next, Ordering::Relaxed, Ordering::Relaxed);
        if ends.is_ok() && took >= PERIOD_MIN {
            self.taken.store(0, Ordering::Relaxed);
            let mut pace = self.pace();
            pace.observe(taken, took, now);
            self.gap.store(pace.gap_nanos(), Ordering::Relaxed);
            self.measured_at
                .store(pace.measured_at().as_nanos(), Ordering::Relaxed);
        }
    }

    /// Returns how long a message that comes at `now` would wait behind so many others, if that is
    /// longer than `most`.
    pub(super) fn wait_over(&self, most: Duration, ahead: usize, now: Time) -> Option<Duration> {
        self.pace().wait_over(most, ahead, now)
    }

    fn pace(&self) -> Pace {
        let measured_at = self.measured_at.load(Ordering::Relaxed);
        Pace::new(
            self.gap.load(Ordering::Relaxed),
            Time::from_nanos(measured_at),
        )
    }
}

/// Turns that run beside each other end together, so a shorter look may see all of them or none.
const PERIOD_MIN: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Time {
        Time::from_nanos(micros * 1000)
    }

    #[test]
    fn the_wait_is_measured_while_some_wait() {
        let backlog = Backlog::default();
        for turn in 1..=20 {
            backlog.took_one(3, micros(200 * turn));
        }
        assert_eq!(
            backlog.pace().wait(10, micros(4000)),
            Duration::from_millis(2),
            "{backlog:?}"
        );
    }

    #[test]
    fn time_in_which_nothing_waits_is_not_counted() {
        let backlog = Backlog::default();
        for batch in 0..20_u64 {
            for turn in 1..=10 {
                let left = 10 - usize::try_from(turn).expect("small");
                backlog.took_one(left, micros(100_000 * batch + 200 * turn));
            }
        }
        // Two that come at once and are taken at once say nothing of how long a turn takes.
        backlog.took_one(1, micros(2_500_000));
        backlog.took_one(0, micros(2_500_001));
        assert_eq!(
            backlog.pace().wait(10, micros(1_900_000 + 2000)),
            Duration::from_millis(2),
            "{backlog:?}"
        );
    }

    #[test]
    fn turns_that_end_together_are_counted_together() {
        let backlog = Backlog::default();
        for batch in 1..=10 {
            for turn in 0..8 {
                backlog.took_one(50, micros(4000 * batch + turn));
            }
        }
        let wait = backlog.pace().wait(32, micros(40_000));
        let is_near = (14_000..18_000).contains(&wait.as_micros());
        assert!(is_near, "{wait:?} for 16 ms");
    }
}
