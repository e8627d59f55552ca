//! An error that says "not sent" or "refused" means that no handler ran, before or after.
//!
//! This is what makes a retry safe, so it is worth more than the text of the error.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, Token};
use callboard_protocol::code::Code;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct ErrorTellsTheTruth {
    ran: BTreeSet<Token>,
    not_run: BTreeMap<Token, Code>,
}

impl Invariant for ErrorTellsTheTruth {
    fn name(&self) -> &'static str {
        "an-error-tells-the-truth"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match &entry.event {
            Event::Started { token, .. } => {
                self.ran.insert(*token);
                match self.not_run.get(token) {
                    Some(code) => Err(format!("call {token} ran after its caller got {code}")),
                    None => Ok(()),
                }
            }
            Event::Ended { token, outcome } if outcome.says_not_run() => {
                let crate::ledger::Outcome::Failed { code } = outcome else {
                    return Ok(());
                };
                self.not_run.insert(*token, *code);
                if self.ran.contains(token) {
                    return Err(format!("call {token} had run when its caller got {code}"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
