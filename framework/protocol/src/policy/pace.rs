//! How fast a queue is worked off, and so how long a newcomer would wait in it.
//!
//! A bound on the number of messages says nothing of time: a thousand wait for a millisecond or for
//! a minute, by what their handlers do. By Little's law the wait is the number of those ahead times
//! the time between two that are taken out, so that time is measured while some wait. It is what a
//! host needs to refuse at once what it could only refuse later. (Nichols and Jacobson, "Controlling
//! Queue Delay", ACM Queue 2012, control the same quantity; there a queue must drop what it has
//! taken, here the sender can be told before.)
//!
//! It does not know queues or messages: who works one off tells it what was taken in which time.

use std::time::Duration;

use crate::time::Time;

/// The time between two messages that are taken from a queue in which others wait. Costs 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pace {
    gap_nanos: u64,
    measured_at: Time,
}

impl Pace {
    /// Makes a pace from what [`Pace::gap_nanos`] and [`Pace::measured_at`] returned; zeros for one that
    /// was never measured.
    #[must_use]
    pub const fn new(gap_nanos: u64, measured_at: Time) -> Self {
        Self {
            gap_nanos,
            measured_at,
        }
    }

    /// Returns the nanoseconds between two messages when it was last measured; zero if it never was.
    #[must_use]
    pub const fn gap_nanos(&self) -> u64 {
        self.gap_nanos
    }

    /// Returns when it was last measured.
    #[must_use]
    pub const fn measured_at(&self) -> Time {
        self.measured_at
    }

    /// Takes in that so many messages were taken in such a time up to `now`, while others waited all
    /// along.
    ///
    /// A faster one counts for half, a slower one for a quarter and as twice as slow at most: a
    /// process that stood still for a moment is not slow, and to take it for slow would refuse what
    /// could be done. After a second without a measurement the first one counts whole.
    pub fn observe(&mut self, taken: u64, took: Duration, now: Time) {
        let Some(sample) = nanos_of(took).checked_div(taken) else {
            return;
        };
        let sample = sample.max(1);
        let known = self.gap_nanos;
        let is_old = now.saturating_since(self.measured_at) >= HALF_LIFE;
        self.gap_nanos = if known == 0 || is_old {
            sample
        } else if sample < known {
            known - (known - sample) / 2
        } else {
            let sample = sample.min(known.saturating_mul(2));
            known.saturating_add((sample - known) / 4)
        };
        self.measured_at = self.measured_at.max(now);
    }

    /// Returns how long a message would wait behind so many others, if that is longer than `most`.
    /// What is not is known by one multiplication.
    #[must_use]
    pub fn wait_over(&self, most: Duration, ahead: usize, now: Time) -> Option<Duration> {
        if self.gap_nanos.saturating_mul(ahead as u64) <= nanos_of(most) {
            return None;
        }
        Some(self.wait(ahead, now)).filter(|wait| *wait > most)
    }

    /// Returns how long a message would wait behind so many others. A measurement loses half of its
    /// weight with each second: a queue in which nothing waits is not measured, and one that was slow
    /// once is tried again.
    #[must_use]
    pub fn wait(&self, ahead: usize, now: Time) -> Duration {
        let age = now.saturating_since(self.measured_at);
        let halvings = u32::try_from(age.as_secs() / HALF_LIFE.as_secs()).unwrap_or(u32::MAX);
        let gap = self.gap_nanos.checked_shr(halvings).unwrap_or(0);
        Duration::from_nanos(gap.saturating_mul(ahead as u64))
    }
}

/// Returns how long a call may have to wait before its turn, so that it is worth taking: half of the
/// time that its caller gives it, and no longer than `most`. The other half is for the turn, the way
/// back, and what the estimate is wrong by.
#[must_use]
pub fn wait_max(left: Duration, most: Duration) -> Duration {
    (left / 2).min(most)
}

fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

const HALF_LIFE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn measured(taken: u64, took: Duration) -> Pace {
        let mut pace = Pace::default();
        pace.observe(taken, took, ms(1));
        pace
    }

    #[test]
    fn a_newcomer_waits_for_all_that_are_ahead() {
        let pace = measured(20, millis(10));
        assert_eq!(pace.wait(0, ms(1)), Duration::ZERO);
        assert_eq!(pace.wait(1, ms(1)), Duration::from_micros(500));
        assert_eq!(pace.wait(1000, ms(1)), millis(500));
        assert_eq!(pace.wait_over(millis(500), 1000, ms(1)), None);
        assert_eq!(pace.wait_over(millis(499), 1000, ms(1)), Some(millis(500)));
        // A second later it is half of that.
        assert_eq!(pace.wait_over(millis(499), 1000, ms(1001)), None);
    }

    #[test]
    fn nothing_is_known_before_the_first_measurement() {
        assert_eq!(Pace::default().wait(1 << 20, ms(5)), Duration::ZERO);
        assert_eq!(measured(0, millis(10)), Pace::default());
    }

    #[test]
    fn a_process_that_stood_still_for_a_moment_is_not_taken_for_slow() {
        let mut pace = measured(10, millis(10));
        pace.observe(1, millis(1000), ms(100));
        assert_eq!(pace.wait(100, ms(100)), millis(125));
        // And one that was is fast again after a few.
        for now in 0..8 {
            pace.observe(10, millis(10), ms(110 + now));
        }
        assert!(pace.wait(100, ms(120)) < millis(101), "{pace:?}");
    }

    #[test]
    fn one_that_became_slow_is_known_as_such_after_some_measurements() {
        let mut pace = measured(100, millis(10));
        for now in 0..20 {
            pace.observe(10, millis(10), ms(10 + 10 * now));
        }
        assert!(pace.wait(100, ms(210)) > millis(95), "{pace:?}");
    }

    #[test]
    fn a_measurement_is_forgotten_by_and_by_and_the_next_one_counts_whole() {
        let mut pace = measured(1, millis(800));
        assert_eq!(pace.wait(1, ms(1000)), millis(800));
        assert_eq!(pace.wait(1, ms(2001)), millis(200));
        assert_eq!(pace.wait(1, ms(100_000)), Duration::ZERO);
        pace.observe(1, millis(1), ms(3000));
        assert_eq!(pace.wait(1, ms(3000)), millis(1));
    }

    #[test]
    fn arithmetic_saturates() {
        let mut pace = measured(1, Duration::MAX);
        pace.observe(1, Duration::MAX, ms(2));
        assert_eq!(pace.wait(usize::MAX, ms(2)), Duration::from_nanos(u64::MAX));
        assert!(pace.wait(1, Time::MAX) < Duration::from_secs(1));
    }

    #[test]
    fn a_call_may_wait_for_half_of_its_time_and_for_no_longer_than_its_target_allows() {
        assert_eq!(wait_max(millis(100), Duration::MAX), millis(50));
        assert_eq!(wait_max(millis(100), millis(5)), millis(5));
        assert_eq!(wait_max(Duration::ZERO, millis(5)), Duration::ZERO);
    }
}
