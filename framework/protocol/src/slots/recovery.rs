//! How the state goes on when most of the voters are lost for good: as another cluster's.
//!
//! What the lost voters had agreed on last, nobody knows any more. So nothing may be given out again that
//! they may have given out: the cluster's id is another one, and epochs begin far above all that are
//! known. Everything else stays as it is, and the ordinary rules do the rest: whoever was a member and
//! does not come back loses its slots when its lease has ended. Decides nothing about logs and files.
//! Depends on the other values of `slots`.

use std::collections::BTreeMap;

use super::choices::Choices;
use super::refusal::Refusal;
use super::state::State;
use super::table::{Epoch, Version};
use crate::id::{ClusterId, DiskId, NodeId};

impl State {
    /// Returns this state as one voter goes on with it, alone: as that of `cluster`, whose only seat is
    /// that of `node` with `disk`.
    ///
    /// The members stay members. A leader takes each of them for alive until a lease has passed, as
    /// after every election; so one that still runs with the old cluster's lease has stopped when its
    /// slots are given away. They have no disk any more, by which one of them could get a seat or prove
    /// that a life of it is over: that disk holds the old cluster's log.
    ///
    /// # Errors
    ///
    /// [`Refusal::NotFormed`]; [`Refusal::OutOfRange`] when the epochs are used up, after some eight
    /// million times of this.
    pub fn recovered(
        mut self,
        cluster: ClusterId,
        node: NodeId,
        disk: DiskId,
    ) -> Result<Self, Refusal> {
        if self.cluster.is_none() {
            return Err(Refusal::NotFormed);
        }
        let tables = self.groups.values().flat_map(|it| it.table.iter());
        let given = tables.map(|(_, entry)| entry.epoch).max();
        let given = given.unwrap_or_default().max(self.floor);
        let floor = given.0.checked_add(EPOCH_LEAP).map(Epoch);
        let floor = floor.filter(|it| *it <= FLOOR_MAX);
        self.floor = floor.ok_or(Refusal::OutOfRange("epochs"))?;
        self.version = Version(self.version.0 + 1);
        self.cluster = Some(cluster);
        self.seats = BTreeMap::from([(node, disk)]);
        // Of a cluster that has lost most of its voters nobody wishes that it chooses by them.
        self.choices = self.choices.map(|_| Choices::default());
        for (id, entry) in &mut self.members {
            entry.member.disk = (*id == node).then_some(disk);
            entry.changed = self.version;
        }
        Ok(self)
    }
}

/// How far above the last known epoch the first one after a recovery is: 2^40.
///
/// It has to be more than the lost voters can have given one slot after the last that is known. Each
/// epoch is an entry of its own in their log, synced by most of them, and in a move the second of two
/// that wait for each other: at ten thousand a second, faster than disks are, one slot would go to and
/// fro for three years without a pause. Sixteen million leaps fit into 64 bits.
pub const EPOCH_LEAP: u64 = 1 << 40;

/// The highest floor there is. There is as much room above it for the epochs that are given.
pub(super) const FLOOR_MAX: Epoch = Epoch(u64::MAX / 2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Incarnation;
    use crate::slots::samples::{CART, GROUP, assign, cluster, join, member, owner, slot};
    use crate::slots::{Command, Event, Group, GroupId, SlotId, Standing};

    const NEW: ClusterId = ClusterId(77);
    const DISK: DiskId = DiskId(700);

    /// Nodes 1 and 2 are members; node 1 owns slot 0 under epoch 1.
    fn lost() -> State {
        let mut state = cluster(2, 8);
        state.apply(&assign([0], 0, 1)).expect("nobody owns it");
        state
    }

    fn recovered(state: State) -> State {
        let node = owner(1).node;
        state.recovered(NEW, node, DISK).expect("formed")
    }

    /// The next life of node 1 is let in.
    fn with_survivor(mut state: State) -> State {
        let mut member = member(1);
        (member.incarnation, member.disk) = (Incarnation(2), Some(DISK));
        let join = Command::Join {
            cluster: NEW,
            member: Box::new(member),
            heir_of: Some(Incarnation(1)),
        };
        state.apply(&join).expect("it is the heir");
        state
    }

    /// Gives a slot of that epoch to the survivor; returns the new epoch.
    fn give(state: &mut State, id: SlotId, epoch: u64) -> Epoch {
        let mut to = owner(1);
        to.incarnation = Incarnation(2);
        let command = Command::Assign {
            group: id.group,
            slots: vec![(id.slot, Epoch(epoch))],
            to,
        };
        let events = state.apply(&command).expect("nobody who lives owns it");
        let [Event::Owned { epoch, .. }] = events[..] else {
            panic!("{events:?}");
        };
        epoch
    }

    #[test]
    fn no_epoch_is_given_again_of_any_slot_or_group_known_or_not() {
        let mut state = with_survivor(recovered(lost()));
        let unknown = Group::of(GroupId(99), [CART]);
        state.apply(&Command::Place(unknown)).expect("new");
        let first = Epoch(1 + EPOCH_LEAP + 1);
        assert_eq!(give(&mut state, slot(0), 1), first);
        assert_eq!(give(&mut state, slot(1), 0), first, "never owned");
        let id = SlotId {
            group: GroupId(99),
            ..slot(0)
        };
        assert_eq!(give(&mut state, id, 0), first, "a group that is not known");
        // From there on they count as ever.
        let to = owner(2);
        let (id, epoch) = (slot(0), first);
        state.apply(&Command::Move { id, epoch, to }).expect("live");
        let mut by = owner(1);
        by.incarnation = Incarnation(2);
        let stopped = Command::Stopped { id, epoch, by };
        state.apply(&stopped).expect("it is on its way");
        assert_eq!(state.entry(id).expect("there is").epoch.0, first.0 + 1);
    }

    #[test]
    fn a_second_recovery_leaps_from_the_first_until_the_epochs_are_used_up() {
        let again = recovered(recovered(lost()));
        assert_eq!(again.floor, Epoch(1 + 2 * EPOCH_LEAP));
        let mut used_up = lost();
        used_up.floor = FLOOR_MAX;
        let refused = used_up.recovered(NEW, owner(1).node, DISK);
        assert_eq!(refused, Err(Refusal::OutOfRange("epochs")));
        let refused = State::new().recovered(NEW, owner(1).node, DISK);
        assert_eq!(refused, Err(Refusal::NotFormed));
    }

    #[test]
    fn only_the_survivor_has_a_seat_and_a_disk_and_the_members_stay_until_their_leases_end() {
        let before = lost();
        let mut state = recovered(before.clone());
        assert_eq!(state.cluster(), Some(NEW));
        assert_eq!(*state.seats(), BTreeMap::from([(owner(1).node, DISK)]));
        assert_eq!(state.members().count(), 2);
        for (member, standing) in state.members() {
            assert_eq!(standing, Standing::Live);
            let disk = (member.id() == owner(1).node).then_some(DISK);
            assert_eq!(member.disk, disk);
        }
        assert_eq!(state.entry(slot(0)), before.entry(slot(0)));
        // A slot of one that may still run is given to nobody before its lease has ended.
        let to = owner(2);
        let early = state.apply(&Command::Assign {
            group: GROUP,
            slots: vec![(slot(0).slot, Epoch(1))],
            to,
        });
        assert_eq!(early, Err(Refusal::NothingToAssign));
        state.apply(&Command::Lapse(owner(1))).expect("live");
        state.apply(&assign([0], 1, 2)).expect("it is free");
    }

    #[test]
    fn a_node_of_the_old_cluster_is_told_to_begin_with_an_empty_folder() {
        let mut state = recovered(lost());
        let mut back = member(2);
        back.incarnation = Incarnation(2);
        let refused = state.apply(&join(back, Some(1)));
        let text = refused.expect_err("of the old cluster").to_string();
        assert!(text.contains("an empty data folder"), "{text}");
    }

    #[test]
    fn a_recovered_state_is_read_as_it_was_written_and_another_has_the_bytes_that_it_had() {
        let state = recovered(lost());
        assert_eq!(State::decode(&state.encode()), Ok(state.clone()));
        let mut too_high = state.clone();
        too_high.floor = Epoch(FLOOR_MAX.0 + 1);
        State::decode(&too_high.encode()).expect_err("out of range");
        let (mut with, mut without) = (state.clone(), state);
        (with.floor, without.floor) = (Epoch(1), Epoch(0));
        // The tag, a length and the number.
        assert_eq!(with.encode().len(), without.encode().len() + 3);
    }
}
