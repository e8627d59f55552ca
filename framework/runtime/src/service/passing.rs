//! What comes along with a slot, at its new owner, until the keys are called: the states of their actors.
//!
//! A state is used once, under the very epoch that it came for, and by the first activation of its key. So
//! none is used after a newer one: an epoch is one owner's, and what that owner runs begins with it. Pure:
//! knows no types and runs nothing.

use std::collections::BTreeMap;

use callboard_protocol::{
    cluster::Parcel,
    slots::{Arrivals, ArrivalsAction, Entry, Epoch, Owner, SequenceNumber, Slot, SlotId},
};

/// The slots of one type that come, that have come, and that are just going.
#[derive(Debug, Default)]
pub(super) struct Passing {
    coming: BTreeMap<Slot, Coming>,
    come: BTreeMap<Slot, States>,
    come_bytes: usize,
    going: BTreeMap<Slot, Epoch>,
}

#[derive(Debug)]
struct Coming {
    arrivals: Arrivals<(), Parcel>,
    next: SequenceNumber,
    bytes: usize,
}

/// States of keys, encoded, that nobody has called yet.
#[derive(Debug)]
struct States {
    epoch: Epoch,
    by_key: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Passing {
    /// Waits for what comes along, if the slot is on its way to this node.
    fn begin(&mut self, id: SlotId, me: Owner, entry: &Entry) {
        if let Some(from) = entry.owner.filter(|_| entry.moving == Some(me)) {
            let coming = || Coming {
                arrivals: Arrivals::new(id, me, from, entry.epoch, 0),
                next: SequenceNumber::default(),
                bytes: 0,
            };
            self.coming.entry(id.slot).or_insert_with(coming);
        }
    }

    /// The old owner has handed something over; returns the number before which all is here, for it.
    pub(super) fn take_in(
        &mut self,
        slot: Slot,
        (from, epoch): (Owner, Epoch),
        sequence: SequenceNumber,
        parcel: Parcel,
    ) -> Option<SequenceNumber> {
        let bytes = size_of(&parcel);
        let coming: usize = self.coming.values().map(|it| it.bytes).sum();
        if self.come_bytes + coming + bytes > BYTES_MAX {
            return None;
        }
        let coming = self.coming.get_mut(&slot)?;
        let arrivals = &mut coming.arrivals;
        let before = arrivals.handle_forwarded(from, epoch, sequence, parcel)?;
        if before > coming.next {
            coming.next = before;
            coming.bytes += bytes;
        }
        Some(before)
    }

    /// Takes in what is known of a slot now. Returns how many states have come for nothing.
    pub(super) fn settle(&mut self, id: SlotId, me: Owner, entry: &Entry) -> usize {
        let (slot, mut lost) = (id.slot, 0);
        let coming = self.coming.get_mut(&slot);
        let action = coming.and_then(|it| it.arrivals.handle_entry(entry));
        if action.is_some() {
            self.coming.remove(&slot);
        }
        if let Some(ArrivalsAction::Start {
            epoch, forwarded, ..
        }) = action
        {
            lost += self.put(slot, epoch, forwarded);
        }
        // What came for an epoch that is over is older than what ran since.
        let is_over = |it: &States| entry.owner != Some(me) || entry.epoch != it.epoch;
        if self.come.get(&slot).is_some_and(is_over) && !self.going.contains_key(&slot) {
            lost += self.drop_states(slot);
        }
        self.begin(id, me, entry);
        lost
    }

    /// Returns whether a key of the slot must not be activated now, for what is on its way may be its
    /// state.
    pub(super) fn bars(&self, slot: Slot) -> bool {
        self.going.contains_key(&slot) || self.coming.contains_key(&slot)
    }

    /// Takes out the state of a key that is activated under this epoch, if one has come for it.
    pub(super) fn take(&mut self, slot: Slot, epoch: Epoch, key: &[u8]) -> Option<Vec<u8>> {
        let states = self.come.get_mut(&slot).filter(|it| it.epoch == epoch)?;
        let state = states.by_key.remove(key)?;
        if states.by_key.is_empty() {
            self.come.remove(&slot);
        }
        self.come_bytes -= key.len() + state.len();
        Some(state)
    }

    /// The slot goes, from this epoch on; returns the states that were not called for.
    pub(super) fn leave(&mut self, slot: Slot, epoch: Epoch) -> Vec<Parcel> {
        self.going.insert(slot, epoch);
        let states = self.come.remove(&slot);
        self.come_bytes -= states.as_ref().map_or(0, States::bytes);
        let states = states.filter(|it| it.epoch == epoch);
        let states = states.into_iter().flat_map(|it| it.by_key);
        states
            .map(|(key, state)| Parcel::State { key, state })
            .collect()
    }

    /// The slot has gone, or it has come back under this epoch with what was taken out of here.
    /// Returns how many of the states are lost.
    pub(super) fn left(&mut self, slot: Slot, back: Option<(Epoch, Vec<Parcel>)>) -> usize {
        self.going.remove(&slot);
        match back {
            Some((epoch, parcels)) => self.put(slot, epoch, parcels),
            None => 0,
        }
    }

    /// Returns whether a state of the slot waits.
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.come.contains_key(&slot)
    }

    /// Returns the slots of which there is anything here.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.come.keys().chain(self.coming.keys()).copied()
    }

    fn put(&mut self, slot: Slot, epoch: Epoch, parcels: Vec<Parcel>) -> usize {
        let lost = self.drop_states(slot);
        let by_key: BTreeMap<_, _> = parcels.into_iter().filter_map(state_of).collect();
        if !by_key.is_empty() {
            let states = States { epoch, by_key };
            self.come_bytes += states.bytes();
            self.come.insert(slot, states);
        }
        lost
    }

    fn drop_states(&mut self, slot: Slot) -> usize {
        let states = self.come.remove(&slot);
        self.come_bytes -= states.as_ref().map_or(0, States::bytes);
        states.map_or(0, |it| it.by_key.len())
    }
}

impl States {
    fn bytes(&self) -> usize {
        let states = self.by_key.iter();
        states.map(|(key, state)| key.len() + state.len()).sum()
    }
}

fn state_of(parcel: Parcel) -> Option<(Vec<u8>, Vec<u8>)> {
    match parcel {
        Parcel::State { key, state } => Some((key, state)),
        _ => None,
    }
}

/// Returns how many bytes of a parcel are kept.
pub(super) fn size_of(parcel: &Parcel) -> usize {
    match parcel {
        Parcel::State { key, state } => key.len() + state.len(),
        _ => 0,
    }
}

/// The most bytes of states of one type that a node keeps for keys that were not called yet.
const BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use callboard_protocol::{
        id::{Incarnation, NodeId},
        slots::{GroupId, Version},
    };

    use super::*;

    const SLOT: Slot = Slot(3);
    const ID: SlotId = SlotId {
        group: GroupId(1),
        slot: SLOT,
    };

    fn owner(node: u64) -> Owner {
        Owner {
            node: NodeId(node),
            incarnation: Incarnation(1),
        }
    }

    fn entry(of: u64, epoch: u64, moving: Option<u64>) -> Entry {
        Entry {
            owner: Some(owner(of)),
            epoch: Epoch(epoch),
            moving: moving.map(owner),
            changed: Version(1),
        }
    }

    fn state(key: u8) -> Parcel {
        Parcel::State {
            key: vec![key],
            state: vec![key; 3],
        }
    }

    /// Slot 3 is on its way from node 1 to this one, node 2, with a state of key 7.
    fn coming() -> Passing {
        let mut passing = Passing::default();
        assert_eq!(passing.settle(ID, owner(2), &entry(1, 5, Some(2))), 0);
        let (by, first) = ((owner(1), Epoch(5)), SequenceNumber(0));
        let before = passing.take_in(SLOT, by, first, state(7));
        assert_eq!(before, Some(SequenceNumber(1)));
        passing
    }

    #[test]
    fn a_state_that_came_is_used_once_and_not_before_the_slot_is_here() {
        let mut passing = coming();
        assert!(passing.bars(SLOT));
        assert_eq!(passing.take(SLOT, Epoch(5), &[7]), None);
        assert_eq!(passing.settle(ID, owner(2), &entry(2, 6, None)), 0);
        assert!(!passing.bars(SLOT));
        assert_eq!(passing.take(SLOT, Epoch(6), &[8]), None);
        assert_eq!(passing.take(SLOT, Epoch(6), &[7]), Some(vec![7; 3]));
        assert_eq!(passing.take(SLOT, Epoch(6), &[7]), None);
        assert_eq!(passing.slots().count(), 0);
    }

    #[test]
    fn a_state_is_not_used_under_any_other_epoch_than_it_came_for() {
        // The slot was elsewhere in between: somebody has run on it since.
        let mut passing = coming();
        passing.settle(ID, owner(2), &entry(2, 8, None));
        assert_eq!(passing.take(SLOT, Epoch(8), &[7]), None);
        // It was this node's, was lost, and is again.
        let mut passing = coming();
        passing.settle(ID, owner(2), &entry(2, 6, None));
        assert_eq!(passing.settle(ID, owner(2), &entry(1, 7, None)), 1, "lost");
        passing.settle(ID, owner(2), &entry(2, 8, None));
        assert_eq!(passing.take(SLOT, Epoch(8), &[7]), None);
        // It did not come at all.
        let mut passing = coming();
        passing.settle(ID, owner(2), &entry(1, 6, None));
        assert!(!passing.bars(SLOT));
        assert_eq!(passing.slots().count(), 0);
    }

    #[test]
    fn what_was_not_called_for_goes_on_with_the_slot_and_comes_back_with_it() {
        let mut passing = coming();
        passing.settle(ID, owner(2), &entry(2, 6, None));
        let parcels = passing.leave(SLOT, Epoch(6));
        assert_eq!(parcels, [state(7)]);
        assert!(passing.bars(SLOT), "until it has gone");
        assert_eq!(passing.left(SLOT, Some((Epoch(7), parcels))), 0);
        assert_eq!(passing.take(SLOT, Epoch(7), &[7]), Some(vec![7; 3]));
        assert_eq!(passing.come_bytes, 0);
    }

    #[test]
    fn what_has_come_goes_on_with_a_slot_that_is_heard_of_only_when_it_goes_on() {
        let mut passing = coming();
        assert_eq!(passing.settle(ID, owner(2), &entry(2, 6, Some(3))), 0);
        assert_eq!(passing.leave(SLOT, Epoch(6)), [state(7)]);
        assert_eq!(passing.come_bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut passing = coming();
        let by = (owner(1), Epoch(5));
        let large = || Parcel::State {
            key: vec![1],
            state: vec![0; BYTES_MAX / 2],
        };
        let next = passing.take_in(SLOT, by, SequenceNumber(1), large());
        assert_eq!(next, Some(SequenceNumber(2)));
        let next = passing.take_in(SLOT, by, SequenceNumber(2), large());
        assert_eq!(next, None);
    }
}
