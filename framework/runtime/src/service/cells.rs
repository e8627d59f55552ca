//! The activations of one keyed type: by slot and key, and how many there are.
//!
//! It is what the lock of the directory is around. Depends on `actor` for the cells, and on `passing` and `roster`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicUsize},
};

use callboard_protocol::{id::ActorAddr, slots::Slot};

use crate::{
    actor::Cell,
    call::{Definition, Departing, Departure, InMemory, Interface, Queued, key_bytes},
    cluster::Fence,
};

use super::{
    Handlers,
    instance::World,
    passing::Passing,
    roster::{Listed, Roster},
};

pub(super) type CellOf<T> = Arc<Cell<Queued<<<T as Handlers>::Interface as Interface>::Msg>>>;

type OfSlot<T> = HashMap<<T as Definition>::Key, Arc<Activation<T>>>;

/// The activations, by the slots of their keys; all in one where keys are not placed.
pub(super) struct Cells<T: Handlers> {
    pub(super) by_slot: BTreeMap<Option<Slot>, OfSlot<T>>,
    pub(super) passing: Passing,
    /// All of them.
    roster: Roster<Activation<T>>,
    leaving: usize,
}

pub(super) struct Activation<T: Handlers> {
    world: Arc<World<T>>,
    /// In the roster; written under the lock of the directory.
    place: AtomicUsize,
}

impl<T: Handlers> Cells<T> {
    pub(super) fn new() -> Self {
        Self {
            by_slot: BTreeMap::new(),
            passing: Passing::default(),
            roster: Roster::default(),
            leaving: 0,
        }
    }

    pub(super) fn get(&self, slot: Option<Slot>, key: &T::Key) -> Option<&Activation<T>> {
        self.by_slot.get(&slot)?.get(key).map(|it| &**it)
    }

    /// Takes out the state that came along with the slot for a key.
    pub(super) fn came(&mut self, fence: &Fence, key: &T::Key) -> Option<Vec<u8>> {
        let slot = fence.id().slot;
        if !self.passing.has(slot) {
            return None;
        }
        self.passing.take(slot, fence.epoch(), &key_bytes(key)?)
    }

    pub(super) fn insert(&mut self, slot: Option<Slot>, key: T::Key, activation: Activation<T>) {
        let activation = Arc::new(activation);
        self.roster.add(activation.clone());
        let of_slot = self.by_slot.entry(slot).or_default();
        if let Some(before) = of_slot.insert(key, activation) {
            self.struck(&before);
        }
    }

    /// Forgets the activation of a key, if it is this one.
    pub(super) fn remove(&mut self, slot: Option<Slot>, key: &T::Key, addr: ActorAddr) {
        let Some(of_slot) = self.by_slot.get_mut(&slot) else {
            return;
        };
        let is_it = of_slot.get(key).is_some_and(|it| it.cell().addr() == addr);
        let removed = is_it.then(|| of_slot.remove(key)).flatten();
        if of_slot.is_empty() {
            self.by_slot.remove(&slot);
        }
        if let Some(removed) = removed {
            self.struck(&removed);
        }
    }

    /// Returns how many activations there are that were not told to make room.
    pub(super) fn staying(&self) -> usize {
        self.roster.len() - self.leaving
    }

    /// Returns how many were told to make room and have not ended.
    pub(super) fn leaving(&self) -> usize {
        self.leaving
    }

    /// Tells an activation that nobody uses to make room; returns whether one was found.
    pub(super) fn evict(&mut self) -> bool {
        let used_at = |it: &Activation<T>| it.cell().rests_since();
        let Some(found) = self.roster.pick(used_at) else {
            return false;
        };
        found.cell().evict();
        self.leaving += 1;
        true
    }

    /// Counts one that is not here any more.
    fn struck(&mut self, activation: &Activation<T>) {
        self.roster.remove(activation);
        self.leaving -= usize::from(activation.cell().is_evicted());
    }

    /// Finds the activation of a key, which is of one of two slots: that of the key, where keys are
    /// placed, and none, where they are not, or were not when it was made.
    pub(super) fn find(
        &self,
        key: &T::Key,
        of: Option<Slot>,
    ) -> Option<(Option<Slot>, &Activation<T>)> {
        let found = |slot| Some((slot, self.get(slot, key)?));
        found(of).or_else(|| found(None))
    }

    /// Returns those of the activations of a slot that have not ended.
    pub(super) fn living(
        &self,
        slot: Option<Slot>,
    ) -> impl Iterator<Item = (&T::Key, &Activation<T>)> {
        let of_slot = self.by_slot.get(&slot).into_iter().flatten();
        let activations = of_slot.map(|(key, it)| (key, &**it));
        activations.filter(|(_, it)| it.cell().ended().is_none())
    }
}

impl<T: Handlers> Activation<T> {
    pub(super) fn new(world: Arc<World<T>>) -> Self {
        Self {
            world,
            place: AtomicUsize::new(usize::MAX),
        }
    }

    pub(super) fn cell(&self) -> &CellOf<T> {
        &self.world.cell
    }

    /// Returns what it is bound to, where keys are placed.
    pub(super) fn fence(&self) -> Option<&Fence> {
        self.world.fence()
    }

    pub(super) fn departure(&self) -> &Departure {
        self.world.departure()
    }

    pub(super) fn in_memory(&self) -> InMemory {
        let cell = self.cell();
        let failure = cell.ended().filter(|it| it.is_failure());
        InMemory {
            failure: failure.map(|_| cell.given_up().to_owned()),
            is_stopping: cell.is_stopping(),
            waiting: cell.mailbox.len(),
            waiting_max: cell.settings().mailbox,
            epoch: self.fence().map(Fence::epoch),
        }
    }

    pub(super) fn departs(&self, key: &T::Key) -> Departing {
        Departing {
            actor: self.cell().addr().actor,
            key: key_bytes(key).unwrap_or_default(),
            departure: self.world.departure().clone(),
        }
    }
}

impl<T: Handlers> Listed for Activation<T> {
    fn place(&self) -> &AtomicUsize {
        &self.place
    }
}
