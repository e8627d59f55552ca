//! No table, mailbox or buffer holds more than its bound.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event};

#[derive(Debug)]
pub(super) struct BoundsHold;

impl Invariant for BoundsHold {
    fn name(&self) -> &'static str {
        "bounds-hold"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        let Event::Held { machine, usage } = &entry.event else {
            return Ok(());
        };
        match usage.gauges.iter().find(|(_, held, bound)| held > bound) {
            Some((name, held, bound)) => Err(format!(
                "machine {machine} holds {held} of {name}, and the bound is {bound}"
            )),
            None => Ok(()),
        }
    }
}
