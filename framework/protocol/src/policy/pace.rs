//! How long a newcomer would wait in a queue.
//!
//! A bound on the number of messages says nothing of time: a thousand wait for a millisecond or for
//! a minute, by what their handlers do. By Little's law the wait is the number of those ahead times
//! the time between two that are taken out. It is what a host needs to refuse at once what it could
//! only refuse later. (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012,
//! control the same quantity; there a queue must drop what it has taken, here the sender can be told
//! before.)
//!
//! [`Stopwatch`](super::Stopwatch) measures a pace; this knows what follows from it.

use std::time::Duration;

use crate::time::Time;

/// The time between two messages that are taken from a queue in which others wait. Costs 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pace {
    gap_nanos: u64,
    measured_at: Time,
}

impl Pace {
    /// Makes a pace of so many nanoseconds between two messages; zeros for one that is not known, in
    /// whose queue nobody waits too long.
    #[must_use]
    pub const fn new(gap_nanos: u64, measured_at: Time) -> Self {
        Self {
            gap_nanos,
            measured_at,
        }
    }

    /// Returns the nanoseconds between two messages when it was measured.
    #[must_use]
    pub const fn gap_nanos(self) -> u64 {
        self.gap_nanos
    }

    /// Returns when it was measured.
    #[must_use]
    pub const fn measured_at(self) -> Time {
        self.measured_at
    }

    /// Returns how long a message would wait behind so many others, if that is longer than `most`.
    /// What is not is known by one multiplication.
    #[must_use]
    pub fn wait_over(self, most: Duration, ahead: usize, now: Time) -> Option<Duration> {
        if self.gap_nanos.saturating_mul(ahead as u64) <= nanos_of(most) {
            return None;
        }
        Some(self.wait(ahead, now)).filter(|wait| *wait > most)
    }

    /// Returns how long a message would wait behind so many others. A pace halves with each second
    /// in which it could have been measured again and was not: a queue in which nothing waits is not
    /// measured, and one that was slow once is tried again.
    #[must_use]
    pub fn wait(self, ahead: usize, now: Time) -> Duration {
        let age = now.saturating_since(self.measured_at);
        let silent = age.saturating_sub(Duration::from_nanos(self.gap_nanos));
        let halvings = u32::try_from(silent.as_secs() / HALF_LIFE.as_secs()).unwrap_or(u32::MAX);
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

pub(super) fn nanos_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What was measured so long ago is worth half as much.
pub(super) const HALF_LIFE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Measured after a millisecond.
    fn pace(gap: Duration) -> Pace {
        Pace::new(nanos_of(gap), ms(1))
    }

    #[test]
    fn a_newcomer_waits_for_all_that_are_ahead() {
        let pace = pace(Duration::from_micros(500));
        assert_eq!(pace.wait(0, ms(1)), Duration::ZERO);
        assert_eq!(pace.wait(1, ms(1)), Duration::from_micros(500));
        assert_eq!(pace.wait(1000, ms(1)), millis(500));
        assert_eq!(pace.wait_over(millis(500), 1000, ms(1)), None);
        assert_eq!(pace.wait_over(millis(499), 1000, ms(1)), Some(millis(500)));
        // A second later it is half of that.
        assert_eq!(pace.wait_over(millis(499), 1000, ms(1002)), None);
    }

    #[test]
    fn nobody_waits_too_long_where_nothing_is_known() {
        assert_eq!(Pace::default().wait(1 << 20, ms(5)), Duration::ZERO);
        assert_eq!(
            Pace::default().wait_over(Duration::ZERO, 1 << 20, ms(5)),
            None
        );
    }

    #[test]
    fn a_measurement_is_forgotten_by_and_by_but_not_while_the_next_one_cannot_be_made() {
        let pace = pace(millis(5000));
        // A turn of five seconds is looked at when it ends.
        assert_eq!(pace.wait(1, ms(6000)), millis(5000));
        assert_eq!(pace.wait(1, ms(6001)), millis(2500));
        assert_eq!(pace.wait(1, ms(7001)), millis(1250));
        assert_eq!(pace.wait(1, ms(100_000)), Duration::ZERO);
    }

    #[test]
    fn arithmetic_saturates() {
        let pace = Pace::new(u64::MAX, ms(2));
        assert_eq!(pace.wait(usize::MAX, ms(2)), Duration::from_nanos(u64::MAX));
        assert_eq!(pace.wait(1, Time::MAX), Duration::from_nanos(u64::MAX));
        assert!(Pace::new(u64::MAX / 2, ms(2)).wait(1, Time::MAX) < Duration::from_secs(1));
    }

    #[test]
    fn a_call_may_wait_for_half_of_its_time_and_for_no_longer_than_its_target_allows() {
        assert_eq!(wait_max(millis(100), Duration::MAX), millis(50));
        assert_eq!(wait_max(millis(100), millis(5)), millis(5));
        assert_eq!(wait_max(Duration::ZERO, millis(5)), Duration::ZERO);
    }
}
