//! Some time after the last call, no slot, entry or buffer is held any more, on any machine.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event, MachineNumber, Usage};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long after the last call something may still be held.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct NothingLeaks {
    machines: usize,
    quiet: Option<Duration>,
    latest: BTreeMap<MachineNumber, Usage>,
}

impl NothingLeaks {
    pub(super) fn new(machines: usize) -> Self {
        Self {
            machines,
            quiet: None,
            latest: BTreeMap::new(),
        }
    }
}

impl Invariant for NothingLeaks {
    fn name(&self) -> &'static str {
        "nothing-leaks"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match &entry.event {
            Event::Quiet => self.quiet = Some(entry.at),
            Event::Held { machine, usage } => {
                self.latest.insert(*machine, usage.clone());
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, now: Duration) -> Result<(), Broken> {
        if self.quiet.is_none_or(|quiet| now < quiet + SETTLE) {
            return Ok(());
        }
        self.quiet = None;
        for machine in 0..self.machines {
            let usage = self
                .latest
                .get(&machine)
                .ok_or(format!("machine {machine} never said what it holds"))?;
            if let Some((name, held, _)) = usage.gauges.iter().find(|(_, held, _)| *held > 0) {
                return Err(format!("machine {machine} still holds {held} of {name}"));
            }
        }
        Ok(())
    }
}
