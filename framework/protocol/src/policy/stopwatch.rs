//! How fast a queue is worked off.
//!
//! A process that stands still for a moment, because others have its cores, looks like a slow queue,
//! and to take it for one would refuse what could be done in time. So no single look decides: a pace
//! is made from the last [`WINDOW`] looks without the slowest of them, and from fewer than
//! [`TRUSTED_FROM`] there is none. Disturbances only ever make a look longer, so what has to be left
//! out is on that side. (CoDel tells a queue that stands from a burst by the same means: it goes by
//! the shortest wait of an interval, RFC 8289, section 3.1. The shortest look would say too little
//! here, where turns that run beside each other end together and some looks see more of them.)
//!
//! It does not know queues or messages: who works one off tells it what was taken in which time, and
//! how much makes a look.

use std::time::Duration;

use crate::time::Time;

use super::pace::{HALF_LIFE, Pace, nanos_of};

/// Measures the [`Pace`] of a queue. Costs 280 bytes.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stopwatch {
    /// The last looks, in a ring.
    looks: [Look; WINDOW],
    /// How many there were since it began anew.
    count: usize,
    measured_at: Time,
}

/// So many messages were taken in such a time.
#[derive(Clone, Copy, Default, Debug)]
struct Look {
    taken: u64,
    took_nanos: u64,
}

impl Stopwatch {
    /// Takes in that so many messages were taken in such a time up to `now`, while others waited all
    /// along. Returns the pace, if enough is known.
    ///
    /// It begins anew after a second in which nothing waited: whatever kept the queue then may be
    /// over.
    pub fn observe(&mut self, taken: u64, took: Duration, now: Time) -> Option<Pace> {
        if taken == 0 {
            return self.pace();
        }
        let began = now.saturating_since(self.measured_at);
        if began.saturating_sub(took) >= HALF_LIFE {
            self.count = 0;
        }
        self.looks[self.count % WINDOW] = Look {
            taken,
            took_nanos: nanos_of(took),
        };
        self.count += 1;
        self.measured_at = self.measured_at.max(now);
        self.pace()
    }

    /// Returns the pace of all looks but the slowest eighth of them.
    fn pace(&self) -> Option<Pace> {
        if self.count < TRUSTED_FROM {
            return None;
        }
        let mut looks = self.looks;
        let looks = &mut looks[..self.count.min(WINDOW)];
        looks.sort_unstable_by_key(|look| look.took_nanos / look.taken);
        let kept = looks.len() - looks.len().div_ceil(SLOWEST);
        let sum = |of: fn(&Look) -> u64| looks[..kept].iter().map(of).fold(0, u64::saturating_add);
        let gap = sum(|look| look.took_nanos) / sum(|look| look.taken);
        Some(Pace::new(gap.max(1), self.measured_at))
    }
}

/// So many looks make a pace, so that of those that were slow all at once two are left out.
const WINDOW: usize = 16;

/// Fewer looks make none: one that is left out and three that agree.
const TRUSTED_FROM: usize = 4;

/// One of so many looks is left out, and at least one.
const SLOWEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Looks at turns of these times, one after the other, and returns each pace.
    fn paces(turns: impl IntoIterator<Item = u64>) -> Vec<Option<Pace>> {
        let (mut watch, mut now) = (Stopwatch::default(), 1000);
        let look = |took| {
            now += took;
            watch.observe(1, millis(took), ms(now))
        };
        turns.into_iter().map(look).collect()
    }

    fn gap(pace: Option<Pace>) -> Duration {
        Duration::from_nanos(pace.map_or(0, Pace::gap_nanos))
    }

    #[test]
    fn a_single_stall_of_30_ms_among_100_turns_refuses_nobody() {
        for stall in 0..100 {
            let turns = (0..100).map(|turn| if turn == stall { 31 } else { 1 });
            for (turn, pace) in paces(turns).into_iter().enumerate() {
                let pace = pace.unwrap_or_default();
                // Eight callers that wait for their replies, one of whom is served.
                let wait = pace.wait_over(millis(8), 7, pace.measured_at());
                assert_eq!(wait, None, "stall in turn {stall}, after turn {turn}");
            }
        }
    }

    #[test]
    fn a_stall_in_each_dozen_turns_is_no_pace_either() {
        let turns = (0..200).map(|turn| if turn % 12 == 5 { 31 } else { 1 });
        for pace in paces(turns) {
            assert!(gap(pace) <= millis(1), "{pace:?}");
        }
    }

    #[test]
    fn fewer_than_four_looks_are_no_pace() {
        let paces = paces([50; 5]);
        assert_eq!(paces[..3], [None; 3]);
        assert_eq!(gap(paces[3]), millis(50));
    }

    #[test]
    fn one_that_became_slow_is_known_as_such_within_a_window() {
        let turns = [1; 50].into_iter().chain([10; WINDOW]);
        let paces = paces(turns);
        assert_eq!(gap(paces[49]), millis(1));
        assert_eq!(gap(paces[49 + WINDOW]), millis(10));
    }

    #[test]
    fn one_that_became_fast_is_known_as_such_within_a_window() {
        let turns = [10; 50].into_iter().chain([1; WINDOW]);
        let paces = paces(turns);
        assert_eq!(gap(paces[49]), millis(10));
        assert_eq!(gap(paces[49 + WINDOW]), millis(1));
    }

    #[test]
    fn turns_that_end_together_are_counted_together() {
        let (mut watch, mut pace) = (Stopwatch::default(), None);
        // Eight turns of 20 ms end within three of them.
        for batch in 1..10 {
            for (taken, took, at) in [(1, 18, 18), (4, 1, 19), (3, 1, 20)] {
                pace = watch.observe(taken, millis(took), ms(1000 + 20 * batch + at));
            }
        }
        let gap = gap(pace).as_micros();
        assert!((1500..=2500).contains(&gap), "{gap} us for 2500");
    }

    #[test]
    fn it_begins_anew_after_a_second_in_which_nothing_waited() {
        let mut watch = Stopwatch::default();
        for turn in 1..10 {
            watch.observe(1, millis(100), ms(1000 + 100 * turn));
        }
        assert_eq!(watch.observe(1, millis(1), ms(2901)), None);
        // A turn that itself takes longer than that is no such second.
        let mut watch = Stopwatch::default();
        let paces: Vec<_> = (1..10)
            .map(|turn| watch.observe(1, millis(3000), ms(3000 * turn)))
            .collect();
        assert_eq!(gap(paces[8]), millis(3000));
    }

    #[test]
    fn arithmetic_saturates() {
        let mut watch = Stopwatch::default();
        for _ in 0..20 {
            watch.observe(u64::MAX, Duration::MAX, Time::MAX);
        }
        assert_eq!(watch.observe(0, Duration::MAX, Time::MAX), watch.pace());
        assert!(watch.pace().is_some());
    }
}
