//! Every call ends by its deadline, with a reply or an error. A streamed reply ends with its last
//! item, so its call's deadline holds for all of it.
//!
//! A machine that is paused cannot end anything; its calls have to end when it goes on. One that is
//! suspended does not see the time pass: its calls have as much more. A machine that crashed takes its
//! calls with it.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, MachineNumber, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How late the end may be written down: the clocks of this simulation tick in milliseconds, and the
/// timer wheel of a node rounds up to its next tick.
const SLACK: Duration = Duration::from_millis(5);

#[derive(Debug, Default)]
pub(super) struct EveryCallEnds {
    open: BTreeMap<Token, Open>,
    /// The same calls by the time at which they must have ended.
    due: BTreeSet<(Duration, Token)>,
    paused_until: BTreeMap<MachineNumber, Duration>,
}

#[derive(Debug)]
struct Open {
    what: &'static str,
    by: MachineNumber,
    issued: Duration,
    due: Duration,
}

impl EveryCallEnds {
    fn close(&mut self, token: Token) {
        if let Some(open) = self.open.remove(&token) {
            self.due.remove(&(open.due, token));
        }
    }

    fn give_more(&mut self, machine: MachineNumber, span: Duration) {
        let of_machine = self.open.iter_mut().filter(|(_, open)| open.by == machine);
        for (&token, open) in of_machine {
            self.due.remove(&(open.due, token));
            open.due += span;
            self.due.insert((open.due, token));
        }
    }

    fn close_all_of(&mut self, machine: MachineNumber) {
        let of_machine = self.open.iter().filter(|(_, open)| open.by == machine);
        for token in of_machine.map(|(&token, _)| token).collect::<Vec<_>>() {
            self.close(token);
        }
    }
}

impl Invariant for EveryCallEnds {
    fn name(&self) -> &'static str {
        "every-call-ends-by-its-deadline"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match entry.event {
            Event::Issued {
                token,
                what,
                by,
                deadline,
                ..
            } => {
                let due = deadline + SLACK;
                self.open.insert(
                    token,
                    Open {
                        what,
                        by,
                        issued: entry.at,
                        due,
                    },
                );
                self.due.insert((due, token));
            }
            Event::Ended { token, .. } | Event::Dropped { token } => self.close(token),
            Event::Crashed { machine } => self.close_all_of(machine),
            Event::Paused { machine, until } => {
                let latest = self.paused_until.entry(machine).or_default();
                *latest = until.max(*latest);
            }
            Event::Suspended { machine, span } => self.give_more(machine, span),
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, now: Duration) -> Result<(), Broken> {
        while let Some(&(due, token)) = self.due.first().filter(|(due, _)| *due < now) {
            let Some(open) = self.open.get_mut(&token) else {
                return Ok(());
            };
            let awake = self.paused_until.get(&open.by).copied().unwrap_or_default() + SLACK;
            if awake <= due {
                return Err(format!(
                    "call {token} of {} made by machine {} at {} ms was to end by {} ms, and has not",
                    open.what,
                    open.by,
                    open.issued.as_millis(),
                    due.as_millis(),
                ));
            }
            self.due.remove(&(due, token));
            open.due = awake;
            self.due.insert((awake, token));
        }
        Ok(())
    }
}
