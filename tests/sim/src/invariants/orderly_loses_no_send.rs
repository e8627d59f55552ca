//! While all that changes is planned, what a machine that stays has sent runs, before its deadline.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, MachineNumber, Outcome, Token, Work};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct OrderlyLosesNoSend {
    is_orderly: bool,
    leaving: BTreeSet<MachineNumber>,
    /// Sends that have to run, by whom, and until when.
    must_run: BTreeMap<Token, (MachineNumber, Duration)>,
    /// The same by when they have to have run, once they were handed over.
    due: BTreeSet<(Duration, Token)>,
}

impl OrderlyLosesNoSend {
    fn forget(&mut self, machine: MachineNumber) {
        self.must_run.retain(|_, (by, _)| *by != machine);
    }
}

impl Invariant for OrderlyLosesNoSend {
    fn name(&self) -> &'static str {
        "what-is-planned-loses-no-send"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match &entry.event {
            Event::Orderly => self.is_orderly = true,
            Event::Disturbed => {
                self.is_orderly = false;
                self.must_run.clear();
                self.due.clear();
            }
            Event::Leaving { machine } => {
                self.leaving.insert(*machine);
                self.forget(*machine);
            }
            Event::Crashed { machine } => {
                self.leaving.remove(machine);
                self.forget(*machine);
            }
            Event::Issued {
                token,
                by,
                deadline,
                work: Work::Sent,
                ..
            } if self.is_orderly && !self.leaving.contains(by) => {
                self.must_run.insert(*token, (*by, *deadline));
            }
            Event::Ended {
                token,
                outcome: Outcome::Sent,
            } => {
                if let Some((_, deadline)) = self.must_run.get(token) {
                    self.due.insert((*deadline + SLACK, *token));
                }
            }
            // That it failed is seen elsewhere.
            Event::Ended { token, .. } | Event::Started { token, .. } => {
                self.must_run.remove(token);
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, now: Duration) -> Result<(), Broken> {
        while let Some((due, token)) = self.due.first().copied().filter(|it| it.0 < now) {
            self.due.remove(&(due, token));
            if let Some((by, _)) = self.must_run.remove(&token) {
                let due = due.as_millis();
                return Err(format!(
                    "send {token} of machine {by} was taken, and has not run by {due} ms"
                ));
            }
        }
        Ok(())
    }
}

/// The time that a send has left is counted by the clocks of two machines.
const SLACK: Duration = Duration::from_millis(200);
