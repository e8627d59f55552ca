//! How often a peer may open a stream and give it up before it says what it is for.
//!
//! QUIC bounds how many streams are open at once, and gives each place back as soon as it is
//! free: a peer that resets what it opens is never at that bound, and costs a task each time
//! (CVE-2023-44487 is the same of HTTP/2). Nothing is known here of links.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many streams a peer may yet give up: so many a second, and some at once.
#[derive(Debug)]
pub(super) struct Strays {
    each_second: u32,
    left: Mutex<(f64, Option<Instant>)>,
}

impl Strays {
    pub(super) fn new(each_second: u32) -> Self {
        Self {
            each_second,
            left: Mutex::new((f64::from(each_second) * STRAYS_AT_ONCE, None)),
        }
    }

    /// Returns whether one more may be given up now.
    pub(super) fn allow(&self, now: Instant) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let each_second = f64::from(self.each_second);
        let (tokens, last) = *left;
        let gone = last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        let tokens = (tokens + gone.as_secs_f64() * each_second).min(each_second * STRAYS_AT_ONCE);
        let allowed = tokens >= 1.0;
        *left = (if allowed { tokens - 1.0 } else { tokens }, Some(now));
        allowed
    }
}

/// Seconds' worth of strays that may come at once.
const STRAYS_AT_ONCE: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_and_so_many_a_second_are_allowed() {
        let (strays, now) = (Strays::new(10), Instant::now());
        let allowed = |now, tries| (0..tries).filter(|_| strays.allow(now)).count();
        assert_eq!(allowed(now, 100), 40);
        assert_eq!(allowed(now + Duration::from_secs(1), 10), 10);
        assert_eq!(allowed(now + Duration::from_secs(3600), 100), 40);
    }
}
