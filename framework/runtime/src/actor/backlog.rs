//! How long a newcomer would wait in a mailbox: drives `protocol`'s [`Stopwatch`].
//!
//! It is told of each message that is taken out. As long as none waits behind it, that costs two
//! loads; the clock was read for the turn already. Who asks takes no lock.

use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_protocol::{
    policy::{Pace, Stopwatch},
    time::Time,
};

/// What is known of one mailbox. It takes no memory before a message waits behind another one.
#[derive(Debug, Default)]
pub(super) struct Backlog(OnceLock<Box<Looks>>);

/// The atomics are a measurement and order nothing: two readers that take messages at once make it a little
/// wrong, and no more.
#[derive(Debug, Default)]
struct Looks {
    /// Since when some have waited, or since when this look goes on; zero while nothing waits.
    since: AtomicU64,
    /// How long some had waited in this look before that.
    carried: AtomicU64,
    /// Messages that were taken out in this look.
    taken: AtomicU64,
    gap: AtomicU64,
    measured_at: AtomicU64,
    /// Made when it is first needed: in most mailboxes nothing ever waits for long.
    stopwatch: OnceLock<Box<Mutex<Stopwatch>>>,
}

impl Backlog {
    /// Notes that a message was taken out at `now`, and so many still wait.
    pub(super) fn took_one(&self, waiting: usize, now: Time) {
        match self.0.get() {
            Some(looks) => looks.took_one(waiting, now),
            None if waiting > 0 => self.0.get_or_init(Box::default).took_one(waiting, now),
            None => {}
        }
    }

    /// Returns how long a message that comes at `now` would wait behind so many others, if that is
    /// longer than `most`.
    pub(super) fn wait_over(&self, most: Duration, ahead: usize, now: Time) -> Option<Duration> {
        self.pace().wait_over(most, ahead, now)
    }

    fn pace(&self) -> Pace {
        let unknown = || Pace::new(0, Time::ZERO);
        self.0.get().map_or_else(unknown, |looks| looks.pace())
    }
}

impl Looks {
    fn took_one(&self, waiting: usize, now: Time) {
        let since = self.since.load(Ordering::Relaxed);
        if since == 0 {
            if waiting > 0 {
                self.since.store(now.as_nanos(), Ordering::Relaxed);
            }
            return;
        }
        let taken = self.taken.fetch_add(1, Ordering::Relaxed) + 1;
        let carried = Duration::from_nanos(self.carried.load(Ordering::Relaxed));
        let took = carried + now.saturating_since(Time::from_nanos(since));
        let is_whole = took >= LOOK_MIN && (taken >= LOOK_TAKEN || took >= LOOK_MAX);
        if !is_whole && waiting > 0 {
            return;
        }
        let next = if waiting > 0 { now.as_nanos() } else { 0 };
        let ends = self
            .since
            .compare_exchange(since, next, Ordering::Relaxed, Ordering::Relaxed);
        if ends.is_err() {
            return;
        }
        if is_whole {
            self.taken.store(0, Ordering::Relaxed);
            self.carried.store(0, Ordering::Relaxed);
            self.measured(taken, took, now);
        } else {
            // A look that ended here would leave out what is worked off fast.
            let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            self.carried.store(took, Ordering::Relaxed);
        }
    }

    fn measured(&self, taken: u64, took: Duration, now: Time) {
        let stopwatch = self.stopwatch.get_or_init(Box::default);
        // Who comes while another one measures loses one look of many.
        let Ok(mut stopwatch) = stopwatch.try_lock() else {
            return;
        };
        // What is not known any more is still worth what the last pace has not lost by its age.
        if let Some(pace) = stopwatch.observe(taken, took, now) {
            self.gap.store(pace.gap_nanos(), Ordering::Relaxed);
            let measured_at = pace.measured_at().as_nanos();
            self.measured_at.store(measured_at, Ordering::Relaxed);
        }
    }

    fn pace(&self) -> Pace {
        let measured_at = self.measured_at.load(Ordering::Relaxed);
        Pace::new(
            self.gap.load(Ordering::Relaxed),
            Time::from_nanos(measured_at),
        )
    }
}

/// Turns that run beside each other end together, so a look that sees a few messages may see all that
/// a while brings, or none.
const LOOK_TAKEN: u64 = 16;

/// The clock of a busy machine says little about less.
const LOOK_MIN: Duration = Duration::from_millis(1);

/// Where turns take long, a look does not wait for many of them.
const LOOK_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Time {
        Time::from_nanos(micros * 1000)
    }

    #[test]
    fn the_wait_is_measured_while_some_wait() {
        let backlog = Backlog::default();
        for turn in 1..=80 {
            backlog.took_one(3, micros(200 * turn));
        }
        assert_eq!(
            backlog.pace().wait(10, micros(16_000)),
            Duration::from_millis(2),
            "{backlog:?}"
        );
    }

    #[test]
    fn a_first_turn_that_took_long_says_nothing() {
        let backlog = Backlog::default();
        for turn in 0..12 {
            let now = micros(1 + 32_000 * turn);
            backlog.took_one(1, now);
            assert_eq!(backlog.wait_over(Duration::ZERO, 1, now), None);
        }
    }

    #[test]
    fn a_single_stall_among_turns_of_a_millisecond_refuses_nobody() {
        for stall in 0..300 {
            let (backlog, mut now) = (Backlog::default(), 1);
            for turn in 0..300 {
                now += if turn == stall { 31_000 } else { 1000 };
                backlog.took_one(7, micros(now));
                let wait = backlog.wait_over(Duration::from_millis(8), 7, micros(now));
                assert_eq!(wait, None, "stall in turn {stall}, after turn {turn}");
            }
        }
    }

    /// Twelve callers, eight turns beside each other: four wait, and are let in within a moment.
    #[test]
    fn a_short_queue_that_is_taken_at_once_is_not_slow() {
        let backlog = Backlog::default();
        for batch in 1..=100 {
            for turn in 0..4 {
                backlog.took_one(3 - turn, micros(20_000 * batch + 100 * turn as u64));
            }
            // One that comes a little late waits for the next batch.
            backlog.took_one(1, micros(20_000 * batch + 1500));
        }
        let wait = backlog.pace().wait(4, micros(2_000_000));
        assert!(wait < Duration::from_millis(20), "{wait:?} for 20 ms");
        assert!(wait > Duration::from_millis(10), "{wait:?} for 20 ms");
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
