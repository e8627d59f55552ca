//! What goes along with the slots of one type, as far as it is here: on its way to this node, waiting for
//! the keys that it belongs to, or about to leave.
//!
//! What comes is kept for the epoch that it came for, and states are taken by the first activation of their
//! key, with the sends that came along for it. So none is used after a newer one: an epoch is one owner's,
//! and what that owner runs begins with it. Sends that come while a slot goes are kept for its next owner,
//! behind those that waited. Pure: knows no types and runs nothing.

use std::collections::BTreeMap;

use callboard_protocol::{
    cluster::Parcel,
    slots::{
        Arrivals, ArrivalsAction, Entry, Epoch, FORWARDED_MAX, Owner, SequenceNumber, Slot, SlotId,
    },
    time::Time,
};

use crate::call::{Kept, Lost, NO_ROOM, SENDS_BYTES_MAX};

/// The slots of one type that come, that have come, and that are just going.
#[derive(Debug, Default)]
pub(super) struct Passing {
    coming: BTreeMap<Slot, Coming>,
    come: BTreeMap<Slot, Come>,
    come_bytes: usize,
    going: BTreeMap<Slot, Epoch>,
    late: BTreeMap<Slot, Late>,
}

#[derive(Debug)]
struct Coming {
    arrivals: Arrivals<(), Kept>,
    next: SequenceNumber,
    bytes: usize,
}

/// What came for keys that nobody has called yet.
#[derive(Debug)]
struct Come {
    epoch: Epoch,
    /// The states, encoded.
    states: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The sends of each key, in order.
    sends: BTreeMap<Vec<u8>, Vec<Kept>>,
}

/// Sends that have come since their slot goes.
#[derive(Debug)]
struct Late {
    epoch: Epoch,
    sends: Vec<Kept>,
    bytes: usize,
    /// How many there were, those that are on their way included.
    count: usize,
    /// This node has stopped: what comes now could be overtaken.
    closed: bool,
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
        kept: Kept,
    ) -> Option<SequenceNumber> {
        let bytes = kept.bytes();
        let coming: usize = self.coming.values().map(|it| it.bytes).sum();
        if self.come_bytes + coming + bytes > BYTES_MAX {
            return None;
        }
        let coming = self.coming.get_mut(&slot)?;
        let arrivals = &mut coming.arrivals;
        let before = arrivals.handle_forwarded(from, epoch, sequence, kept)?;
        if before > coming.next {
            coming.next = before;
            coming.bytes += bytes;
        }
        Some(before)
    }

    /// Takes in what is known of a slot now. Returns what has come for nothing.
    pub(super) fn settle(&mut self, id: SlotId, me: Owner, entry: &Entry) -> Lost {
        let (slot, mut lost) = (id.slot, Lost::default());
        let coming = self.coming.get_mut(&slot);
        let action = coming.and_then(|it| it.arrivals.handle_entry(entry));
        if action.is_some() {
            self.coming.remove(&slot);
        }
        if let Some(ArrivalsAction::Start {
            epoch, forwarded, ..
        }) = action
        {
            add(&mut lost, self.put(slot, epoch, forwarded));
        }
        let is_going = self.going.contains_key(&slot);
        // What came for an epoch that is over is older than what ran since.
        let is_over = |it: &Come| entry.owner != Some(me) || entry.epoch != it.epoch;
        if self.come.get(&slot).is_some_and(is_over) && !is_going {
            add(&mut lost, self.drop_come(slot));
        }
        // It went, or stayed, before anybody began to take along what had come for it.
        let is_over = |it: &Late| {
            entry.owner != Some(me) || entry.moving.is_none() || entry.epoch != it.epoch
        };
        if self.late.get(&slot).is_some_and(is_over) && !is_going {
            lost.sends += self.late.remove(&slot).map_or(0, |it| it.sends.len());
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
        let come = self.come.get_mut(&slot).filter(|it| it.epoch == epoch)?;
        let state = come.states.remove(key)?;
        self.come_bytes -= key.len() + state.len();
        self.tidy(slot);
        Some(state)
    }

    /// Takes out the sends that have come for a key that is activated under this epoch.
    pub(super) fn take_sends(&mut self, slot: Slot, epoch: Epoch, key: &[u8]) -> Vec<Kept> {
        let come = self.come.get_mut(&slot).filter(|it| it.epoch == epoch);
        let sends = come.and_then(|it| it.sends.remove(key));
        let sends = sends.unwrap_or_default();
        self.come_bytes -= sends.iter().map(Kept::bytes).sum::<usize>();
        self.tidy(slot);
        sends
    }

    /// Returns the keys for which sends have come, and under which epoch.
    pub(super) fn awaited(&self, slot: Slot) -> Option<(Epoch, Vec<Vec<u8>>)> {
        let come = self.come.get(&slot)?;
        Some((come.epoch, come.sends.keys().cloned().collect()))
    }

    /// The slot goes, from this epoch on; returns what was not called for.
    pub(super) fn leave(&mut self, slot: Slot, epoch: Epoch) -> Vec<Kept> {
        self.going.insert(slot, epoch);
        let come = self.come.remove(&slot);
        self.come_bytes -= come.as_ref().map_or(0, Come::bytes);
        let come = come.filter(|it| it.epoch == epoch);
        come.map(Come::into_kept).unwrap_or_default()
    }

    /// Keeps a send that has come while its slot is on its way from here, under this epoch, behind those that
    /// came before.
    ///
    /// # Errors
    /// Why it does not go along.
    pub(super) fn keep_late(
        &mut self,
        slot: Slot,
        epoch: Epoch,
        send: Kept,
    ) -> Result<(), &'static str> {
        let late = self.late_of(slot, epoch);
        let bytes = late.bytes + send.bytes();
        if late.closed {
            return Err("its slot has gone, and what was sent later may be with its next owner");
        }
        if bytes > SENDS_BYTES_MAX || late.count >= FORWARDED_MAX {
            return Err(NO_ROOM);
        }
        late.bytes = bytes;
        late.count += 1;
        late.sends.push(send);
        Ok(())
    }

    /// Returns whether this node has stopped, so that no send of the slot goes along any more.
    pub(super) fn has_stopped(&self, slot: Slot) -> bool {
        self.late.get(&slot).is_some_and(|it| it.closed)
    }

    /// Takes the sends that have come since the slot goes. If there are none and `closes` says so, none is kept
    /// any more; returns whether that is so.
    pub(super) fn late(&mut self, slot: Slot, epoch: Epoch, closes: bool) -> (Vec<Kept>, bool) {
        let late = self.late_of(slot, epoch);
        let sends = std::mem::take(&mut late.sends);
        late.closed |= closes && sends.is_empty();
        (sends, late.closed)
    }

    fn late_of(&mut self, slot: Slot, epoch: Epoch) -> &mut Late {
        self.late.entry(slot).or_insert_with(|| Late {
            epoch,
            sends: Vec::new(),
            bytes: 0,
            count: 0,
            closed: false,
        })
    }

    /// The slot has gone, or it has come back under this epoch with what was taken out of here.
    /// Returns what is lost.
    pub(super) fn left(&mut self, slot: Slot, back: Option<(Epoch, Vec<Kept>)>) -> Lost {
        self.going.remove(&slot);
        let late = self.late.remove(&slot).map(|it| it.sends);
        let late = late.unwrap_or_default();
        match back {
            Some((epoch, mut kept)) => {
                kept.extend(late);
                self.put(slot, epoch, kept)
            }
            None => Lost {
                states: 0,
                sends: late.len(),
            },
        }
    }

    /// Returns whether anything waits for keys of the slot.
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.come.contains_key(&slot)
    }

    /// Returns the slots of which there is anything here.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let come = self.come.keys().chain(self.late.keys());
        come.chain(self.coming.keys()).copied()
    }

    fn put(&mut self, slot: Slot, epoch: Epoch, kept: Vec<Kept>) -> Lost {
        let lost = self.drop_come(slot);
        let mut come = Come {
            epoch,
            states: BTreeMap::new(),
            sends: BTreeMap::new(),
        };
        kept.into_iter().for_each(|it| come.add(it));
        if !come.is_empty() {
            self.come_bytes += come.bytes();
            self.come.insert(slot, come);
        }
        lost
    }

    fn drop_come(&mut self, slot: Slot) -> Lost {
        let come = self.come.remove(&slot);
        self.come_bytes -= come.as_ref().map_or(0, Come::bytes);
        come.map_or_else(Lost::default, |it| Lost {
            states: it.states.len(),
            sends: it.sends.values().map(Vec::len).sum(),
        })
    }

    /// Forgets a slot of which nothing is left.
    fn tidy(&mut self, slot: Slot) {
        if self.come.get(&slot).is_some_and(Come::is_empty) {
            self.come.remove(&slot);
        }
    }
}

impl Come {
    fn add(&mut self, kept: Kept) {
        match &kept.parcel {
            Parcel::State { key, state } => {
                self.states.insert(key.clone(), state.clone());
            }
            Parcel::Send(send) => self.sends.entry(send.key.clone()).or_default().push(kept),
            _ => {}
        }
    }

    /// First all states, then the sends.
    fn into_kept(self) -> Vec<Kept> {
        let states = self.states.into_iter();
        let states = states.map(|(key, state)| Kept::state(key, state, Time::ZERO));
        let sends = self.sends.into_values().flatten();
        states.chain(sends).collect()
    }

    fn is_empty(&self) -> bool {
        self.states.is_empty() && self.sends.is_empty()
    }

    fn bytes(&self) -> usize {
        let states = self.states.iter();
        let states: usize = states.map(|(key, state)| key.len() + state.len()).sum();
        let sends = self.sends.values().flatten();
        states + sends.map(Kept::bytes).sum::<usize>()
    }
}

fn add(all: &mut Lost, more: Lost) {
    all.states += more.states;
    all.sends += more.sends;
}

/// The most bytes of states and sends of one type that a node keeps for keys that were not called yet.
const BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use callboard_protocol::{
        cluster::{Forwarded, Sender},
        id::{Incarnation, MethodId, NodeId},
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

    fn state(key: u8) -> Kept {
        Kept::state(vec![key], vec![key; 3], Time::ZERO)
    }

    fn send(key: u8, number: u8) -> Kept {
        let forwarded = Forwarded {
            key: vec![key],
            method: MethodId(1),
            shape: 0,
            sender: Sender {
                node: NodeId(9),
                actor: None,
                roles: None,
            },
            left_us: None,
            trace: None,
            request: None,
            body: vec![number],
        };
        Kept::new(Parcel::Send(Box::new(forwarded)), Time::ZERO)
    }

    fn lost(states: usize, sends: usize) -> Lost {
        Lost { states, sends }
    }

    /// Slot 3 is on its way from node 1 to this one, node 2, with a state of key 7.
    fn coming() -> Passing {
        let mut passing = Passing::default();
        assert_eq!(
            passing.settle(ID, owner(2), &entry(1, 5, Some(2))),
            lost(0, 0)
        );
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
        assert_eq!(passing.settle(ID, owner(2), &entry(2, 6, None)), lost(0, 0));
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
        let gone = passing.settle(ID, owner(2), &entry(1, 7, None));
        assert_eq!(gone, lost(1, 0));
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
        assert_eq!(passing.left(SLOT, Some((Epoch(7), parcels))), lost(0, 0));
        assert_eq!(passing.take(SLOT, Epoch(7), &[7]), Some(vec![7; 3]));
        assert_eq!(passing.come_bytes, 0);
    }

    #[test]
    fn what_has_come_goes_on_with_a_slot_that_is_heard_of_only_when_it_goes_on() {
        let mut passing = coming();
        assert_eq!(
            passing.settle(ID, owner(2), &entry(2, 6, Some(3))),
            lost(0, 0)
        );
        assert_eq!(passing.leave(SLOT, Epoch(6)), [state(7)]);
        assert_eq!(passing.come_bytes, 0);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut passing = coming();
        let by = (owner(1), Epoch(5));
        let large = || Kept::state(vec![1], vec![0; BYTES_MAX / 2], Time::ZERO);
        let next = passing.take_in(SLOT, by, SequenceNumber(1), large());
        assert_eq!(next, Some(SequenceNumber(2)));
        let next = passing.take_in(SLOT, by, SequenceNumber(2), large());
        assert_eq!(next, None);
    }

    #[test]
    fn sends_that_came_are_taken_once_in_order_and_go_on_behind_the_states() {
        let mut passing = coming();
        let by = (owner(1), Epoch(5));
        for (number, kept) in [
            (1, send(7, 0)),
            (2, send(8, 1)),
            (2, send(8, 1)),
            (3, send(7, 2)),
        ] {
            passing.take_in(SLOT, by, SequenceNumber(number), kept);
        }
        assert_eq!(passing.awaited(SLOT), None, "the slot is not here");
        passing.settle(ID, owner(2), &entry(2, 6, None));
        let keys = vec![vec![7], vec![8]];
        assert_eq!(passing.awaited(SLOT), Some((Epoch(6), keys)));
        assert_eq!(
            passing.take_sends(SLOT, Epoch(5), &[8]),
            [],
            "another epoch"
        );
        assert_eq!(passing.take_sends(SLOT, Epoch(6), &[8]), [send(8, 1)]);
        let onward = passing.leave(SLOT, Epoch(6));
        assert_eq!(onward, [state(7), send(7, 0), send(7, 2)]);
        assert_eq!(passing.left(SLOT, Some((Epoch(7), onward))), lost(0, 0));
        let sends = passing.take_sends(SLOT, Epoch(7), &[7]);
        assert_eq!(sends, [send(7, 0), send(7, 2)]);
        assert!(passing.has(SLOT), "its state waits");
        assert!(passing.take(SLOT, Epoch(7), &[7]).is_some());
        assert_eq!((passing.has(SLOT), passing.come_bytes), (false, 0));
    }

    #[test]
    fn sends_of_an_epoch_that_is_over_are_lost() {
        let mut passing = coming();
        passing.take_in(SLOT, (owner(1), Epoch(5)), SequenceNumber(1), send(7, 0));
        passing.settle(ID, owner(2), &entry(2, 6, None));
        let gone = passing.settle(ID, owner(2), &entry(3, 7, None));
        assert_eq!(gone, lost(1, 1));
        assert_eq!(passing.come_bytes, 0);
    }

    #[test]
    fn sends_that_come_while_the_slot_goes_are_kept_until_this_node_has_stopped() {
        let mut passing = Passing::default();
        // Before anybody has begun to stop what runs on it.
        passing.keep_late(SLOT, Epoch(5), send(1, 0)).expect("room");
        assert_eq!(passing.leave(SLOT, Epoch(5)), []);
        passing.keep_late(SLOT, Epoch(5), send(1, 1)).expect("room");
        let (sends, closed) = passing.late(SLOT, Epoch(5), true);
        assert_eq!((sends, closed), (vec![send(1, 0), send(1, 1)], false));
        passing
            .keep_late(SLOT, Epoch(5), send(1, 2))
            .expect("not yet");
        assert_eq!(passing.late(SLOT, Epoch(5), true).0.len(), 1);
        assert_eq!(passing.late(SLOT, Epoch(5), false), (vec![], false));
        assert_eq!(passing.late(SLOT, Epoch(5), true), (vec![], true));
        assert!(passing.has_stopped(SLOT));
        assert!(passing.keep_late(SLOT, Epoch(5), send(1, 3)).is_err());
        assert_eq!(passing.left(SLOT, None), lost(0, 0));
    }

    #[test]
    fn a_slot_that_stays_brings_back_what_came_meanwhile_behind_the_rest() {
        let mut passing = Passing::default();
        passing.leave(SLOT, Epoch(5));
        passing.keep_late(SLOT, Epoch(5), send(1, 1)).expect("room");
        let back = (Epoch(6), vec![state(1), send(1, 0)]);
        assert_eq!(passing.left(SLOT, Some(back)), lost(0, 0));
        let sends = passing.take_sends(SLOT, Epoch(6), &[1]);
        assert_eq!(sends, [send(1, 0), send(1, 1)]);
    }

    #[test]
    fn sends_of_a_move_that_nobody_has_carried_out_are_lost() {
        let mut passing = Passing::default();
        passing.keep_late(SLOT, Epoch(5), send(1, 0)).expect("room");
        let stays = passing.settle(ID, owner(1), &entry(1, 5, Some(2)));
        assert_eq!(stays, lost(0, 0), "it still goes");
        let gone = passing.settle(ID, owner(1), &entry(1, 6, None));
        assert_eq!(gone, lost(0, 1));
        assert_eq!(passing.slots().count(), 0);
    }

    #[test]
    fn the_sends_that_come_while_a_slot_goes_are_bounded() {
        let mut passing = Passing::default();
        let mut keep = |_| passing.keep_late(SLOT, Epoch(5), send(1, 0)).is_ok();
        assert_eq!((0..5000).filter(|it| keep(*it)).count(), FORWARDED_MAX);
    }
}
