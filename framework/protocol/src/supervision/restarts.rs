//! How often something may be restarted, and how long to wait before.

use std::collections::VecDeque;
use std::time::Duration;

use super::backoff::Backoff;
use crate::time::Time;

/// How many restarts are normal within which time. One more is giving up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intensity {
    /// The number of restarts. 0 gives up at the first failure. Each costs 8 bytes while it counts.
    pub restarts: u32,
    /// The time in which they are counted.
    pub within: Duration,
}

impl Intensity {
    /// Returns the intensity of this many restarts in this time.
    #[must_use]
    pub const fn new(restarts: u32, within: Duration) -> Self {
        Self { restarts, within }
    }
}

impl Default for Intensity {
    /// 5 in 10 s: a fault that heals in seconds is ridden out, one that stays ends in about 5 s.
    fn default() -> Self {
        Self::new(5, Duration::from_secs(10))
    }
}

/// When something was restarted, oldest first: at most as often as its intensity allows.
#[derive(Clone, Debug, Default)]
pub(super) struct Restarts {
    times: VecDeque<Time>,
}

impl Restarts {
    /// Takes in a failure at `now`. Returns how long to wait before the restart, or nothing when
    /// the intensity is used up and it is to give up.
    ///
    /// The wait grows with the number of restarts that count, and so starts anew after a time
    /// without failures.
    pub(super) fn handle_failure(
        &mut self,
        intensity: Intensity,
        backoff: Backoff,
        now: Time,
        random: u64,
    ) -> Option<Duration> {
        while let Some(oldest) = self.times.front()
            && now.saturating_since(*oldest) >= intensity.within
        {
            self.times.pop_front();
        }
        let recent = u32::try_from(self.times.len()).unwrap_or(u32::MAX);
        if recent >= intensity.restarts {
            return None;
        }
        self.times.push_back(now);
        Some(backoff.delay(recent, random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Fails at these times with an intensity in 10 s, and returns the waits in milliseconds.
    fn waits(restarts: u32, failures: &[u64]) -> Vec<Option<u128>> {
        let intensity = Intensity::new(restarts, Duration::from_secs(10));
        let backoff = Backoff {
            jitter_percent: 0,
            ..Backoff::default()
        };
        let mut restarts = Restarts::default();
        let mut wait = |at: &u64| restarts.handle_failure(intensity, backoff, ms(*at), 0);
        failures
            .iter()
            .map(|at| wait(at).map(|wait| wait.as_millis()))
            .collect()
    }

    #[test]
    fn it_waits_longer_each_time_and_then_gives_up() {
        let waits = waits(3, &[0, 1_000, 2_000, 9_999, 10_000]);
        // At last the first failure has left the window.
        assert_eq!(waits, [Some(100), Some(200), Some(400), None, Some(400)]);
    }

    #[test]
    fn after_a_quiet_time_it_starts_anew() {
        assert_eq!(
            waits(3, &[0, 1, 2, 20_000]),
            [Some(100), Some(200), Some(400), Some(100)]
        );
    }

    #[test]
    fn an_intensity_of_zero_gives_up_at_once() {
        assert_eq!(waits(0, &[5]), [None]);
    }
}
