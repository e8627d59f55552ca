//! Counts every call exactly once, and keeps how long the good ones took.
//!
//! A call is *issued* and then ends in one of three ways; at any moment
//! `issued == ok + failed + refused + in_flight`, and when all have ended the last term is zero.
//! It does not make calls and reads no clock.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Answered.
    Ok {
        /// The node that answered.
        by: String,
        /// From when it was due to the answer, in microseconds.
        us: u64,
    },
    /// It ended with an error.
    Failed {
        /// The error's code and name.
        code: String,
    },
    /// A bound said no before the handler ran: a full mailbox, a full send buffer.
    Refused {
        /// The error's code and name.
        code: String,
    },
}

/// The counts of one kind of call, over the whole run and since the last [`Tally::take_recent`].
#[derive(Debug, Default)]
pub struct Tally {
    total: Counts,
    recent: Counts,
    errors: BTreeMap<String, u64>,
}

/// Numbers of one stretch of time.
#[derive(Clone, Debug)]
pub struct Counts {
    /// Calls begun.
    pub issued: u64,
    /// Calls answered.
    pub ok: u64,
    /// Calls that ended with an error.
    pub failed: u64,
    /// Calls that a bound refused.
    pub refused: u64,
    /// Answered calls by the node that answered.
    pub by: BTreeMap<String, u64>,
    latency: Histogram<u64>,
}

impl Tally {
    /// Takes note of a call that begins.
    pub fn issue(&mut self) {
        self.total.issued += 1;
        self.recent.issued += 1;
    }

    /// Takes note of how a call that was issued ended.
    pub fn end(&mut self, ending: Ending) {
        if let Ending::Failed { code } | Ending::Refused { code } = &ending {
            *self.errors.entry(code.clone()).or_default() += 1;
        }
        self.total.end(&ending);
        self.recent.end(&ending);
        debug_assert!(
            self.total.ended() <= self.total.issued,
            "a call ended twice"
        );
    }

    /// Takes the counts since this was last called; the totals stay.
    pub fn take_recent(&mut self) -> Counts {
        std::mem::take(&mut self.recent)
    }

    /// Calls that were issued and have not ended.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.total.issued - self.total.ended()
    }

    /// The counts of the whole run.
    #[must_use]
    pub fn total(&self) -> &Counts {
        &self.total
    }

    /// Errors by code, failed and refused together.
    #[must_use]
    pub fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }
}

impl Counts {
    /// Calls that have ended, however they did.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.ok + self.failed + self.refused
    }

    /// The time in microseconds within which `share` (0 to 1) of the answered calls were answered;
    /// 0 when there was none.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> u64 {
        self.latency.value_at_quantile(share)
    }

    /// The slowest answered call, in microseconds.
    #[must_use]
    pub fn slowest_us(&self) -> u64 {
        self.latency.max()
    }

    fn end(&mut self, ending: &Ending) {
        match ending {
            Ending::Ok { by, us } => {
                self.ok += 1;
                self.latency.saturating_record(*us);
                // Looked up before it is inserted: the name is cloned once a node, not once a call.
                match self.by.get_mut(by) {
                    Some(count) => *count += 1,
                    None => {
                        self.by.insert(by.clone(), 1);
                    }
                }
            }
            Ending::Failed { .. } => self.failed += 1,
            Ending::Refused { .. } => self.refused += 1,
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)
            .expect("the bounds and the three figures are within what the histogram allows");
        Self {
            issued: 0,
            ok: 0,
            failed: 0,
            refused: 0,
            by: BTreeMap::new(),
            latency,
        }
    }
}

/// Two minutes; slower calls are counted as that slow. The deadline of a call is far below it.
const LATENCY_US_MAX: u64 = 120_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(by: &str, us: u64) -> Ending {
        Ending::Ok {
            by: by.to_owned(),
            us,
        }
    }

    fn failed(code: &str) -> Ending {
        Ending::Failed {
            code: code.to_owned(),
        }
    }

    #[test]
    fn every_issued_call_is_in_exactly_one_count() {
        let mut tally = Tally::default();
        for _ in 0..4 {
            tally.issue();
        }
        tally.end(ok("n1", 100));
        tally.end(failed("CB1003"));
        assert_eq!(tally.in_flight(), 2);
        tally.end(Ending::Refused {
            code: "CB1010".to_owned(),
        });
        tally.end(ok("n2", 300));
        let total = tally.total();
        assert_eq!(tally.in_flight(), 0);
        assert_eq!(
            (total.issued, total.ok, total.failed, total.refused),
            (4, 2, 1, 1)
        );
        assert_eq!(
            total.by,
            BTreeMap::from([("n1".to_owned(), 1), ("n2".to_owned(), 1)])
        );
        let errors: Vec<(&str, u64)> = tally
            .errors()
            .iter()
            .map(|(code, count)| (code.as_str(), *count))
            .collect();
        assert_eq!(errors, [("CB1003", 1), ("CB1010", 1)]);
    }

    #[test]
    fn recent_counts_start_again_and_totals_do_not() {
        let mut tally = Tally::default();
        tally.issue();
        tally.end(ok("n1", 100));
        assert_eq!(tally.take_recent().ok, 1);
        tally.issue();
        let recent = tally.take_recent();
        assert_eq!((recent.issued, recent.ok), (1, 0));
        assert_eq!(recent.quantile_us(0.99), 0);
        assert_eq!(tally.total().issued, 2);
    }

    #[test]
    fn quantiles_are_those_of_the_answered_calls() {
        let mut tally = Tally::default();
        for us in 1..=1_000 {
            tally.issue();
            tally.end(ok("n1", us));
        }
        assert_eq!(tally.total().quantile_us(0.5), 500);
        assert_eq!(tally.total().quantile_us(0.99), 990);
        assert_eq!(tally.total().slowest_us(), 1_000);
    }

    #[test]
    fn a_latency_over_the_bound_is_counted_at_the_bound() {
        let mut tally = Tally::default();
        tally.issue();
        tally.end(ok("n1", u64::MAX));
        assert!(tally.total().slowest_us() >= LATENCY_US_MAX);
    }
}
