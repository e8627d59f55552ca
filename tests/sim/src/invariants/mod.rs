//! What has to hold, whatever the network and the machines do. One file, one promise.
//!
//! | invariant | promise (design, section 3) |
//! | --- | --- |
//! | `every-call-ends-by-its-deadline` | 4: a call ends with a reply or an error, by its deadline |
//! | `an-error-tells-the-truth` | 4: "not run" means that no handler ran, before or after |
//! | `no-reply-reaches-the-wrong-call` | 4 |
//! | `nothing-runs-twice` | 8: at most once, unless the method is idempotent |
//! | `order-is-kept-per-pair` | 7: in the order sent, gaps allowed, never backwards |
//! | `streams-have-no-gaps` | 4 and 7, for items |
//! | `dropped-work-stops` | 6: dropping a call ends its shared work on the other side |
//! | `a-group-restarts-together` | section 5: restarts by the strategy of the group, and no others |
//! | `a-watch-fires` | section 5: on the loss of the actor's node |
//! | `bounds-hold` | 6: nothing holds more than its bound |
//! | `nothing-leaks` | 6: after quiet, everything is back at zero |
//! | `everything-answers-again` | recovery within a stated bound |
//! | `epochs-only-grow` | 1: and an epoch is one owner's |
//! | `one-activation-of-a-key-acts` | 2: no turn starts without a lease, or beside another activation's |
//! | `no-reply-leaves-after-the-lease` | 3 |
//! | `what-is-handed-over-is-whole` | section 7: a planned move loses no state |
//! | `what-is-planned-fails-no-call` | section 7: a rolling restart |
//! | `what-is-planned-loses-no-send` | section 7: queued sends are forwarded |
//!
//! Invariants see events only; they do not act, and they do not know each other.

mod bounds_hold;
mod dropped_work_stops;
mod epochs_grow;
mod error_tells_the_truth;
mod every_call_ends;
mod everything_answers_again;
mod group_restarts_together;
mod handed_over_whole;
mod nothing_leaks;
mod nothing_leaves_late;
mod nothing_runs_twice;
mod one_acts;
mod order_per_pair;
mod orderly_fails_no_call;
mod orderly_loses_no_send;
mod right_reply;
mod streams_have_no_gaps;
mod tenure;
mod watch_fires;

use crate::harness::Failure;
use crate::ledger::{Entry, Ledger};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

/// What is wrong, in words.
pub(crate) type Broken = String;

/// A promise, checked against every event.
pub(crate) trait Invariant: Debug {
    /// The name in reports, in kebab case.
    fn name(&self) -> &'static str;

    /// Sees an event.
    ///
    /// # Errors
    /// What is wrong, if the event breaks the promise.
    fn see(&mut self, entry: &Entry) -> Result<(), Broken>;

    /// Sees that time has come to `now`, after all events up to it.
    ///
    /// # Errors
    /// What is wrong, if something should have happened by now.
    fn at(&mut self, _now: Duration) -> Result<(), Broken> {
        Ok(())
    }
}

/// The promises of a kind of world.
#[derive(Debug)]
pub(crate) struct Court {
    invariants: Vec<Box<dyn Invariant>>,
    totals: BTreeMap<String, u64>,
}

impl Court {
    /// Makes those of the call layer, for a world with this many machines.
    pub(crate) fn new(machines: usize) -> Self {
        Self {
            invariants: vec![
                Box::new(every_call_ends::EveryCallEnds::default()),
                Box::new(error_tells_the_truth::ErrorTellsTheTruth::default()),
                Box::new(right_reply::RightReply),
                Box::new(nothing_runs_twice::NothingRunsTwice::default()),
                Box::new(order_per_pair::OrderPerPair::default()),
                Box::new(streams_have_no_gaps::StreamsHaveNoGaps::default()),
                Box::new(dropped_work_stops::DroppedWorkStops::default()),
                Box::new(group_restarts_together::GroupRestartsTogether::default()),
                Box::new(watch_fires::WatchFires::default()),
                Box::new(bounds_hold::BoundsHold),
                Box::new(nothing_leaks::NothingLeaks::new(machines)),
                Box::new(everything_answers_again::EverythingAnswersAgain::new(
                    machines,
                )),
            ],
            totals: BTreeMap::new(),
        }
    }

    /// Makes those of keyed actors that are placed.
    pub(crate) fn of_owners() -> Self {
        Self {
            invariants: vec![
                Box::new(every_call_ends::EveryCallEnds::default()),
                Box::new(error_tells_the_truth::ErrorTellsTheTruth::default()),
                Box::new(right_reply::RightReply),
                Box::new(nothing_runs_twice::NothingRunsTwice::default()),
                Box::new(order_per_pair::OrderPerPair::default()),
                Box::new(epochs_grow::EpochsGrow::default()),
                Box::new(one_acts::OneActs::default()),
                Box::new(nothing_leaves_late::NothingLeavesLate::default()),
                Box::new(handed_over_whole::HandedOverWhole::default()),
                Box::new(orderly_fails_no_call::OrderlyFailsNoCall::default()),
                Box::new(orderly_loses_no_send::OrderlyLosesNoSend::default()),
            ],
            totals: BTreeMap::new(),
        }
    }

    /// Shows the invariants what was written down since the last time, and the time.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub(crate) fn judge(&mut self, ledger: &Ledger, now: Duration) -> Result<(), Failure> {
        while let Some(entry) = ledger.take() {
            if let Some(what) = entry.event.counted_as() {
                *self.totals.entry(what).or_default() += 1;
            }
            for invariant in &mut self.invariants {
                invariant
                    .see(&entry)
                    .map_err(|broken| failure(invariant.as_ref(), broken))?;
            }
        }
        for invariant in &mut self.invariants {
            invariant
                .at(now)
                .map_err(|broken| failure(invariant.as_ref(), broken))?;
        }
        Ok(())
    }

    /// Returns how often each kind of end was seen.
    pub(crate) fn totals(&self) -> BTreeMap<String, u64> {
        self.totals.clone()
    }
}

fn failure(invariant: &dyn Invariant, broken: Broken) -> Failure {
    Failure::now(invariant.name(), broken)
}

#[cfg(test)]
mod tests;
