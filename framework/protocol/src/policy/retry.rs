//! A budget of retries, so that retries cannot multiply an overload.
//!
//! Every call deposits a part of a retry, every retry withdraws one, and what was not used expires
//! with the window. While all is well a few calls fail and all are retried; when most fail, the
//! load grows by the deposit's share only. (Finagle's `RetryBudget`, and Google SRE book, "Handling
//! Overload".) It does not say which calls are safe to retry: their code does, see
//! [`Code::retry`](crate::code::Code::retry).

use std::time::Duration;

use crate::time::Time;

/// The settings of a [`RetryBudget`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetrySettings {
    /// How many retries a hundred calls allow; default 20.
    pub percent: u32,
    /// Retries a second that are allowed however few calls there are; default 10.
    pub per_second_min: u32,
    /// How long a call counts; default 10 s. It is cut into ten equal parts.
    pub window: Duration,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            percent: 20,
            per_second_min: 10,
            window: Duration::from_secs(10),
        }
    }
}

/// Counts calls and retries over a sliding window. Costs 128 bytes.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    settings: RetrySettings,
    /// Deposits less withdrawals, in hundredths of a retry, for each part of the window.
    parts: [i64; PARTS],
    /// The part of time that is being counted, since the node's start.
    current: u64,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(RetrySettings::default())
    }
}

impl RetryBudget {
    /// Makes a budget in which nothing was counted yet.
    #[must_use]
    pub const fn new(settings: RetrySettings) -> Self {
        Self {
            settings,
            parts: [0; PARTS],
            current: 0,
        }
    }

    /// Counts a call. Retries are not counted as calls.
    pub fn deposit(&mut self, now: Time) {
        self.deposit_many(1, now);
    }

    /// Counts calls that were made about now.
    pub fn deposit_many(&mut self, calls: u32, now: Time) {
        let share = i64::from(self.settings.percent).saturating_mul(i64::from(calls));
        let part = self.turn_to(now);
        *part = part.saturating_add(share);
    }

    /// Takes a retry from the budget and returns true, or returns false when there is none.
    pub fn withdraw(&mut self, now: Time) -> bool {
        if self.balance(now) < ONE_RETRY {
            return false;
        }
        let part = self.turn_to(now);
        *part = part.saturating_sub(ONE_RETRY);
        true
    }

    /// Returns the number of whole retries that are left.
    pub fn left(&mut self, now: Time) -> u64 {
        u64::try_from(self.balance(now) / ONE_RETRY).unwrap_or(0)
    }

    fn balance(&mut self, now: Time) -> i64 {
        self.turn_to(now);
        let millis = i64::try_from(self.settings.window.as_millis()).unwrap_or(i64::MAX);
        let reserve = i64::from(self.settings.per_second_min).saturating_mul(millis) / 10;
        self.parts
            .iter()
            .fold(reserve, |sum, part| sum.saturating_add(*part))
    }

    /// Forgets the parts that left the window, and returns the one that `now` is in.
    fn turn_to(&mut self, now: Time) -> &mut i64 {
        let window = u64::try_from(self.settings.window.as_nanos()).unwrap_or(u64::MAX);
        let part = now.as_nanos() / (window / PARTS as u64).max(1);
        // A time before the last one counts as the last one.
        let part = part.max(self.current);
        for passed in 1..=(part - self.current).min(PARTS as u64) {
            self.parts[index(self.current.wrapping_add(passed))] = 0;
        }
        self.current = part;
        &mut self.parts[index(part)]
    }
}

fn index(part: u64) -> usize {
    usize::try_from(part % PARTS as u64).expect("it is less than ten")
}

const PARTS: usize = 10;
const ONE_RETRY: i64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::garbage::Random;

    fn budget(percent: u32, per_second_min: u32) -> RetryBudget {
        RetryBudget::new(RetrySettings {
            percent,
            per_second_min,
            ..RetrySettings::default()
        })
    }

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn five_calls_allow_one_retry() {
        let mut budget = budget(20, 0);
        for _ in 0..9 {
            budget.deposit(ms(1));
        }
        assert!(budget.withdraw(ms(2)));
        assert!(!budget.withdraw(ms(2)));
        budget.deposit(ms(3));
        assert!(budget.withdraw(ms(3)));
    }

    #[test]
    fn a_quiet_caller_has_the_least_number_of_retries() {
        let mut budget = budget(20, 10);
        assert_eq!(budget.left(ms(0)), 100);
        for _ in 0..100 {
            assert!(budget.withdraw(ms(5)));
        }
        assert!(!budget.withdraw(ms(9_999)));
        assert!(budget.withdraw(ms(10_005)));
    }

    #[test]
    fn calls_stop_counting_when_the_window_has_passed() {
        let mut budget = budget(20, 0);
        for _ in 0..500 {
            budget.deposit(ms(500));
        }
        assert_eq!(budget.left(ms(9_999)), 100);
        assert_eq!(budget.left(ms(10_000)), 0);
    }

    #[test]
    fn a_time_that_goes_back_counts_as_the_last_one() {
        let mut budget = budget(100, 0);
        budget.deposit(ms(20_000));
        budget.deposit(ms(1));
        assert_eq!(budget.left(ms(0)), 2);
        assert_eq!(budget.left(Time::MAX), 0);
    }

    #[test]
    fn retries_never_exceed_their_share_of_the_calls() {
        const CALLS: u32 = 20_000;
        for seed in 1..20 {
            let mut random = Random::new(seed);
            let mut budget = budget(20, 0);
            let (mut now, mut retries) = (0, 0);
            for _ in 0..CALLS {
                now += random.next() % 5;
                budget.deposit(ms(now));
                // Everything fails and everybody tries again.
                while budget.withdraw(ms(now)) {
                    retries += 1;
                }
            }
            assert!(retries <= CALLS / 5, "{retries} of {CALLS}");
            assert!(
                retries > CALLS / 10,
                "what is left of a part expires, but not most"
            );
        }
    }
}
