//! What is handed over of a slot before this node has seen that the slot comes.
//!
//! The old owner may see a move sooner than the new one, and begins at once. What it says then is kept for
//! a moment: to have it said again would take longer than the whole move. Bounded; what finds no room is
//! said again all the same. Pure.

use std::collections::BTreeMap;

use callboard_protocol::slots::{Entry, Epoch, Owner, SequenceNumber, SlotId};

use crate::call::Kept;

/// What has come too early.
#[derive(Debug, Default)]
pub(super) struct Early {
    handed: BTreeMap<Place, Kept>,
    bytes: usize,
}

/// What was handed over: of which slot, by whom and under which epoch, and its number.
pub(super) type Place = (SlotId, Owner, Epoch, SequenceNumber);

impl Early {
    /// Returns whether the slot may be about to come from this owner, as far as its entry says: the
    /// node does not know of the move yet.
    pub(super) fn is_early(entry: &Entry, me: Owner, (by, epoch): (Owner, Epoch)) -> bool {
        let is_coming = entry.moving == Some(me);
        let is_known = entry.epoch == epoch && entry.owner == Some(by);
        by != me && !is_coming && (entry.epoch < epoch || is_known)
    }

    /// Keeps a parcel, if there is room.
    pub(super) fn keep(&mut self, place: Place, kept: Kept) {
        let size = kept.bytes();
        if self.bytes + size <= BYTES_MAX && self.handed.len() < PARCELS_MAX {
            let before = self.handed.insert(place, kept);
            // What is said again may be shorter.
            self.bytes = self.bytes + size - before.map_or(0, |it| it.bytes());
        }
    }

    /// Takes out all that is kept, in order.
    pub(super) fn take(&mut self) -> BTreeMap<Place, Kept> {
        self.bytes = 0;
        std::mem::take(&mut self.handed)
    }
}

/// What the windows of a handful of moves hold.
const BYTES_MAX: usize = 2 << 20;

const PARCELS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use callboard_protocol::{
        id::{Incarnation, NodeId},
        slots::{GroupId, Slot},
        time::Time,
    };

    use super::*;

    const ID: SlotId = SlotId {
        group: GroupId(3),
        slot: Slot(8),
    };

    fn owner(node: u64) -> Owner {
        Owner {
            node: NodeId(node),
            incarnation: Incarnation(1),
        }
    }

    fn parcel(bytes: usize) -> Kept {
        Kept::state(vec![1], vec![7; bytes], Time::ZERO)
    }

    fn entry(owner: Option<Owner>, epoch: u64, moving: Option<Owner>) -> Entry {
        Entry {
            owner,
            epoch: Epoch(epoch),
            moving,
            ..Entry::default()
        }
    }

    #[test]
    fn what_comes_before_its_move_is_known_is_early_and_what_comes_after_is_not() {
        let (me, by) = (owner(1), owner(2));
        let is_early = |entry: Entry| Early::is_early(&entry, me, (by, Epoch(5)));
        assert!(is_early(entry(Some(by), 5, None)), "the move is not known");
        assert!(is_early(entry(Some(owner(3)), 4, None)), "nor its owner");
        assert!(!is_early(entry(Some(by), 5, Some(me))), "it comes");
        assert!(!is_early(entry(Some(me), 6, None)), "it has come");
        assert!(!is_early(entry(Some(by), 6, None)), "it has stayed");
        assert!(!is_early(entry(Some(owner(3)), 5, None)), "it is another's");
    }

    #[test]
    fn what_is_said_again_is_kept_once_and_taken_in_order() {
        let mut early = Early::default();
        let at = |number| (ID, owner(2), Epoch(5), SequenceNumber(number));
        early.keep(at(1), parcel(10));
        early.keep(at(0), parcel(20));
        early.keep(at(1), parcel(10));
        assert_eq!(early.bytes, parcel(10).bytes() + parcel(20).bytes());
        early.keep(at(1), parcel(5));
        assert_eq!(early.bytes, parcel(5).bytes() + parcel(20).bytes());
        let places: Vec<_> = early.take().into_keys().collect();
        assert_eq!(places, [at(0), at(1)]);
        assert!(early.take().is_empty());
    }

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let mut early = Early::default();
        let at = |number| (ID, owner(2), Epoch(5), SequenceNumber(number));
        for number in 0..5 {
            early.keep(at(number), parcel(1 << 20));
        }
        assert_eq!(
            early.take().len(),
            1,
            "a megabyte and its key, twice, is too much"
        );
        for number in 0..2000 {
            early.keep(at(number), parcel(1));
        }
        assert_eq!(early.take().len(), PARCELS_MAX);
        early.keep(at(0), parcel(1 << 20));
        assert_eq!(early.take().len(), 1, "there is room again");
    }
}
