//! Once the faults are gone, every machine gets answers from all it calls within a bound, and from
//! then on no call fails.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, MachineNumber, Outcome, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From the end of the faults to the last machine's recovery. A peer is given up after 3 s of
/// silence, a dial is tried again after 5 s at most, and gets 5 s for its greeting.
const RECOVERY: Duration = Duration::from_secs(12);

#[derive(Debug)]
pub(super) struct EverythingAnswersAgain {
    machines: usize,
    calmed: Option<Duration>,
    recovered: BTreeSet<MachineNumber>,
    /// Calls made after all machines had recovered.
    must_succeed: BTreeMap<Token, &'static str>,
}

impl EverythingAnswersAgain {
    pub(super) fn new(machines: usize) -> Self {
        Self {
            machines,
            calmed: None,
            recovered: BTreeSet::new(),
            must_succeed: BTreeMap::new(),
        }
    }
}

impl Invariant for EverythingAnswersAgain {
    fn name(&self) -> &'static str {
        "everything-answers-again"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match &entry.event {
            Event::Calmed => self.calmed = Some(entry.at),
            Event::Recovered { machine } => {
                self.recovered.insert(*machine);
            }
            Event::Issued { token, what, .. } if self.recovered.len() == self.machines => {
                self.must_succeed.insert(*token, what);
            }
            Event::Ended { token, outcome } => {
                let was_fine = self.must_succeed.remove(token);
                if let (Some(what), Outcome::Failed { code }) = (was_fine, outcome) {
                    return Err(format!(
                        "call {token} of {what}, made after the recovery, failed with {code} {}",
                        code.name()
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, now: Duration) -> Result<(), Broken> {
        let late = self.calmed.is_some_and(|calmed| now > calmed + RECOVERY);
        if late && self.recovered.len() < self.machines {
            let missing = (0..self.machines).filter(|machine| !self.recovered.contains(machine));
            return Err(format!(
                "{RECOVERY:?} after the faults, machines {:?} do not get answers from everywhere",
                missing.collect::<Vec<_>>()
            ));
        }
        Ok(())
    }
}
