//! A slot's ownership, and the table of all slots of a group.
//!
//! The one place where an epoch is given out. Depends on `key` and `member`.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::key::{Slot, SlotCount};
use super::member::Owner;
use crate::plant::{Mistake, Plant};

/// The number of a slot's ownership. It only ever grows and is never used again: the fencing token
/// of whoever owns the slot. 0 before the first owner.
///
/// (Kleppmann, "How to do distributed locking", 2016; the sequencer of Burrows, "The Chubby lock
/// service for loosely-coupled distributed systems", 2006, section 2.4.)
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Numbers the states of the control group: each accepted command makes the next.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct Version(pub u64);

/// Who owns a slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Entry {
    /// The owner. Nothing before the first.
    pub owner: Option<Owner>,
    /// The number of this ownership.
    pub epoch: Epoch,
    /// Where the slot is going. The owner starts no turn any more, and the target not yet.
    pub moving: Option<Owner>,
    /// The version in which this last changed.
    pub changed: Version,
}

impl Entry {
    /// Gives the slot to an owner, under the next epoch, which is above `floor`.
    ///
    /// # Panics
    ///
    /// When the epochs are used up, which at a billion moves a second takes 584 years.
    pub(super) fn give(&mut self, owner: Owner, floor: Epoch, version: Version, plant: Plant) {
        let next = self
            .epoch
            .max(floor)
            .0
            .checked_add(1)
            .expect("584 years of epochs");
        if !plant.has(Mistake::ReuseEpoch) {
            assert!(next > self.epoch.0, "epochs only grow");
            self.epoch = Epoch(next);
        }
        self.owner = Some(owner);
        self.moving = None;
        self.touch(version);
    }

    /// Marks where the slot is going, or that it stays.
    pub(super) fn mark(&mut self, moving: Option<Owner>, version: Version) {
        self.moving = moving;
        self.touch(version);
    }

    fn touch(&mut self, version: Version) {
        assert!(version > self.changed, "versions only grow");
        self.changed = version;
    }
}

/// The slots of one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    entries: Box<[Entry]>,
}

impl Table {
    /// Makes a table in which nobody owns anything.
    #[must_use]
    pub fn new(slots: SlotCount) -> Self {
        let entries = slots.slots().map(|_| Entry::default()).collect();
        Self { entries }
    }

    /// Returns the entry of a slot; nothing when there is no such slot.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(usize::try_from(slot.0).ok()?)
    }

    /// Returns all slots with their entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        (0..).map(Slot).zip(&self.entries[..])
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(slot.0).ok()?)
    }
}
