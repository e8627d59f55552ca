//! The epoch of a slot only grows, and each epoch is one owner's.

use super::{Broken, Invariant};
use crate::ledger::{Entry, Event};
use callboard_protocol::slots::{Epoch, Owner, SlotId};
use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct EpochsGrow {
    newest: BTreeMap<SlotId, Epoch>,
    owners: BTreeMap<(SlotId, Epoch), Owner>,
}

impl Invariant for EpochsGrow {
    fn name(&self) -> &'static str {
        "epochs-only-grow"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        let Event::Owned { slot, entry } = &entry.event else {
            return Ok(());
        };
        let before = self.newest.insert(*slot, entry.epoch).unwrap_or_default();
        if entry.epoch < before {
            let epoch = entry.epoch;
            return Err(format!("slot {slot} has epoch {epoch} after {before}"));
        }
        let Some(owner) = entry.owner else {
            return Ok(());
        };
        let first = *self.owners.entry((*slot, entry.epoch)).or_insert(owner);
        if first == owner {
            return Ok(());
        }
        let epoch = entry.epoch;
        Err(format!(
            "slot {slot} is {owner}'s under epoch {epoch}, which was {first}'s"
        ))
    }
}
