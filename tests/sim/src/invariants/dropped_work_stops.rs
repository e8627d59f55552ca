//! Shared work stops when nobody waits for it any more: its call was dropped, ended, or lost with
//! the machine that made it.
//!
//! While there are faults the news may take as long as the transport needs to give a peer up, so the
//! limit counts from the end of the faults, or from the drop, whichever is later.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, MachineNumber, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From the drop to the end of the work, on a healthy network.
const AFTER_DROP: Duration = Duration::from_millis(250);

/// From the end of the faults to the end of work that was dropped before: a peer that cannot be
/// reached is given up within 3 s, and so is its work.
const AFTER_CALM: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct DroppedWorkStops {
    made_by: BTreeMap<Token, MachineNumber>,
    /// Calls that nobody waits for, with the time since when.
    unwanted: BTreeMap<Token, Duration>,
    /// Runs that have begun and not ended.
    running: BTreeMap<Token, BTreeSet<MachineNumber>>,
    calmed: Option<Duration>,
}

impl DroppedWorkStops {
    fn stopped(&mut self, token: Token, on: MachineNumber) {
        if let Some(machines) = self.running.get_mut(&token) {
            machines.remove(&on);
            if machines.is_empty() {
                self.running.remove(&token);
            }
        }
    }

    fn crashed(&mut self, machine: MachineNumber, at: Duration) {
        self.running.retain(|_, machines| {
            machines.remove(&machine);
            !machines.is_empty()
        });
        let lost = self
            .running
            .keys()
            .filter(|token| self.made_by.get(token) == Some(&machine));
        for &token in lost {
            self.unwanted.entry(token).or_insert(at);
        }
    }
}

impl Invariant for DroppedWorkStops {
    fn name(&self) -> &'static str {
        "dropped-work-stops"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match entry.event {
            // A turn that has the actor for itself is never interrupted, and nobody waits for a send.
            Event::Issued { what, .. } if what.contains("(send)") || what == "Log/visit" => {}
            Event::Issued { token, by, .. } => {
                self.made_by.insert(token, by);
            }
            Event::Started { token, on } => {
                self.running.entry(token).or_default().insert(on);
            }
            Event::Finished { token, on } | Event::Abandoned { token, on } => {
                self.stopped(token, on)
            }
            Event::Dropped { token } | Event::Ended { token, .. }
                if self.made_by.contains_key(&token) =>
            {
                self.unwanted.insert(token, entry.at);
            }
            Event::Crashed { machine } => self.crashed(machine, entry.at),
            Event::Calmed => self.calmed = Some(entry.at),
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, now: Duration) -> Result<(), Broken> {
        let Some(calmed) = self.calmed else {
            return Ok(());
        };
        for (token, machines) in &self.running {
            let Some(&since) = self.unwanted.get(token) else {
                continue;
            };
            let limit = (since + AFTER_DROP).max(calmed + AFTER_CALM);
            if now > limit {
                return Err(format!(
                    "call {token}, which nobody has waited for since {} ms, still runs on {machines:?}",
                    since.as_millis()
                ));
            }
        }
        Ok(())
    }
}
