//! How long to wait before the next attempt: longer each time, and not all at once.

use std::time::Duration;

/// Waiting times that grow by a factor from a first to a longest one, with jitter.
///
/// The jitter shortens each wait by up to its share, so that those who failed together do not come
/// back together. (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The first wait.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
    /// By how much each wait is longer than the one before. 1 keeps it at `min`.
    pub factor: u32,
    /// By how many percent a wait may be shorter, 0 to 100. With 100 it may be zero.
    pub jitter_percent: u8,
}

impl Default for Backoff {
    /// 100 ms to 10 s, doubling, up to half shorter.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(10))
    }
}

impl Backoff {
    /// Returns waits from `min` to `max` that double and may be up to half shorter.
    #[must_use]
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self {
            min,
            max,
            factor: 2,
            jitter_percent: 50,
        }
    }

    /// Returns the wait before an attempt, counted from 0, with a random number for the jitter.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let mut full = self.min.min(self.max);
        for _ in 0..attempt {
            if full >= self.max || self.factor <= 1 || full.is_zero() {
                break;
            }
            full = full.saturating_mul(self.factor).min(self.max);
        }
        let nanos = full.as_nanos();
        let jitter = nanos * u128::from(self.jitter_percent.min(100)) / 100;
        let less = jitter * u128::from(random) / u128::from(u64::MAX);
        Duration::from_nanos(u64::try_from(nanos - less).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff {
            jitter_percent: 0,
            ..Backoff::new(ms(100), ms(500))
        };
        let waits: Vec<Duration> = (0..5).map(|attempt| backoff.delay(attempt, 7)).collect();
        assert_eq!(waits, [ms(100), ms(200), ms(400), ms(500), ms(500)]);
        assert_eq!(backoff.delay(u32::MAX, 7), ms(500));
    }

    #[test]
    fn jitter_shortens_by_at_most_its_share() {
        let backoff = Backoff::new(ms(100), ms(500));
        assert_eq!(backoff.delay(0, 0), ms(100));
        assert_eq!(backoff.delay(0, u64::MAX), ms(50));
        assert_eq!(backoff.delay(9, u64::MAX), ms(250));
        let all = Backoff {
            jitter_percent: 255,
            ..backoff
        };
        assert_eq!(all.delay(0, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn settings_that_make_no_sense_still_give_a_bounded_wait() {
        let zero = Backoff {
            min: Duration::ZERO,
            ..Backoff::default()
        };
        assert_eq!(zero.delay(u32::MAX, 1), Duration::ZERO);
        let swapped = Backoff::new(ms(500), ms(100));
        assert_eq!(swapped.delay(3, 0), ms(100));
        let still = Backoff {
            factor: 0,
            ..Backoff::default()
        };
        assert_eq!(still.delay(u32::MAX, 0), ms(100));
        let endless = Backoff {
            jitter_percent: 0,
            ..Backoff::new(ms(1), Duration::MAX)
        };
        assert_eq!(endless.delay(u32::MAX, 0), Duration::from_nanos(u64::MAX));
    }
}
