//! While all that changes is planned, no call of a machine that stays fails.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, MachineNumber, Outcome, Token};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct OrderlyFailsNoCall {
    is_orderly: bool,
    leaving: BTreeSet<MachineNumber>,
    must_succeed: BTreeMap<Token, (MachineNumber, &'static str)>,
}

impl Invariant for OrderlyFailsNoCall {
    fn name(&self) -> &'static str {
        "what-is-planned-fails-no-call"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match &entry.event {
            Event::Orderly => self.is_orderly = true,
            Event::Disturbed => {
                self.is_orderly = false;
                self.must_succeed.clear();
            }
            Event::Leaving { machine } => {
                self.leaving.insert(*machine);
                self.must_succeed.retain(|_, (by, _)| by != machine);
            }
            Event::Crashed { machine } => {
                self.leaving.remove(machine);
                self.must_succeed.retain(|_, (by, _)| by != machine);
            }
            Event::Issued {
                token, what, by, ..
            } if self.is_orderly && !self.leaving.contains(by) => {
                self.must_succeed.insert(*token, (*by, what));
            }
            Event::Ended { token, outcome } => {
                let known = self.must_succeed.remove(token);
                if let (Some((by, what)), Outcome::Failed { code }) = (known, outcome) {
                    let name = code.name();
                    return Err(format!(
                        "call {token} of {what} by machine {by} failed with {code} {name}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
