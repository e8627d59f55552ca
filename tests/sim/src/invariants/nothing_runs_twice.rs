//! Nothing runs twice whose author did not say that this is harmless.

use super::{Broken, Invariant};
use crate::harness::sometimes::sometimes;
use crate::ledger::{Entry, Event, MachineNumber, Token};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct NothingRunsTwice {
    is_idempotent: BTreeSet<Token>,
    ran_on: BTreeMap<Token, MachineNumber>,
}

impl Invariant for NothingRunsTwice {
    fn name(&self) -> &'static str {
        "nothing-runs-twice"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match entry.event {
            Event::Issued {
                token,
                is_idempotent: true,
                ..
            } => {
                self.is_idempotent.insert(token);
            }
            Event::Started { token, on } => {
                let Some(before) = self.ran_on.insert(token, on) else {
                    return Ok(());
                };
                if !self.is_idempotent.contains(&token) {
                    return Err(format!(
                        "call {token} ran on machine {before} and on machine {on}"
                    ));
                }
                sometimes!("an-idempotent-call-ran-twice");
            }
            _ => {}
        }
        Ok(())
    }
}
