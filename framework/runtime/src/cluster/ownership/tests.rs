use std::collections::{BTreeMap, BTreeSet};

use callboard_protocol::{
    id::{ClusterId, Incarnation, InterfaceId, NodeName},
    slots::{Command, Group, Settings, Slot, SlotCount, State},
};

use super::*;

/// A control group of one, whose deltas tests hand to nodes.
pub(crate) struct Control(pub(crate) State);

const CART: InterfaceId = InterfaceId(0xca47);
pub(crate) const SLOTS: u32 = 4;

impl Control {
    /// Forms a cluster without members.
    pub(crate) fn formed() -> Self {
        let mut control = Self(State::new());
        let (cluster, slots) = (ClusterId(7), SlotCount::new(SLOTS).expect("a power of two"));
        let settings = Settings::default();
        control.apply(Command::Form {
            cluster,
            slots,
            settings,
        });
        control
    }

    /// Forms a cluster of these first lives, with one group of one type.
    pub(crate) fn of(names: &[&str], kind: InterfaceId) -> Self {
        let mut control = Self::formed();
        for name in names {
            control.join(name, 1, kind);
        }
        control.apply(Command::Place(Group::of(GroupId(kind.0), [kind])));
        control
    }

    pub(crate) fn join(&mut self, name: &str, incarnation: u64, kind: InterfaceId) {
        let member = Member {
            name: NodeName::new(name).expect("valid"),
            incarnation: Incarnation(incarnation),
            disk: None,
            addr: "127.0.0.1:1".parse().expect("valid"),
            zone: String::new(),
            roles: BTreeSet::new(),
            labels: BTreeMap::new(),
            hosts: BTreeSet::from([kind]),
            version: 1,
            movable: BTreeSet::from([kind]),
            lacks: BTreeMap::new(),
            weight: 100,
        };
        self.apply(Command::Join {
            cluster: ClusterId(7),
            member: Box::new(member),
            heir_of: None,
        });
    }

    pub(crate) fn apply(&mut self, command: Command) {
        self.0.apply(&command).expect("fits");
    }

    /// Gives all slots of a group to a node.
    pub(crate) fn assign(&mut self, group: GroupId, to: Owner) {
        let entry = |slot| *self.0.entry(SlotId { group, slot }).expect("known");
        let slots = (0..SLOTS).map(Slot);
        let slots = slots.map(|slot| (slot, entry(slot).epoch)).collect();
        self.apply(Command::Assign { group, slots, to });
    }

    pub(crate) fn tell(&self, ownership: &Ownership) -> Vec<SlotId> {
        let delta = self.0.since(ownership.version(), usize::MAX);
        let delta = delta.expect("the cluster is formed");
        ownership.handle_delta(&delta).expect("fits")
    }
}

pub(crate) fn owner(name: &str, incarnation: u64) -> Owner {
    let node = callboard_protocol::id::NodeId::of(&NodeName::new(name).expect("valid"));
    Owner {
        node,
        incarnation: Incarnation(incarnation),
    }
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

const GROUP: GroupId = GroupId(CART.0);
const ID: SlotId = SlotId {
    group: GROUP,
    slot: Slot(1),
};

/// A group whose slots are those of `a`, and what `a` knows, with a lease.
fn owned_by_a() -> (Control, Ownership) {
    let mut control = Control::of(&["a", "b"], CART);
    control.assign(GROUP, owner("a", 1));
    let ownership = Ownership::new(owner("a", 1));
    control.tell(&ownership);
    ownership.handle_lease(at(900), at(1000));
    (control, ownership)
}

#[test]
fn a_turn_starts_with_the_slot_and_the_lease_only() {
    let (control, ownership) = owned_by_a();
    assert_eq!(ownership.may_start(ID, at(899)), Some(Epoch(1)));
    assert_eq!(ownership.may_start(ID, at(900)), None);
    ownership.handle_lease(Time::ZERO, Time::ZERO);
    assert_eq!(ownership.may_start(ID, at(0)), None);
    let other = Ownership::new(owner("b", 1));
    control.tell(&other);
    other.handle_lease(at(900), at(1000));
    assert_eq!(other.may_start(ID, at(0)), None, "it is not its own");
}

#[test]
fn what_a_turn_made_leaves_until_the_lease_ends_and_while_the_slot_goes() {
    let (mut control, ownership) = owned_by_a();
    assert!(ownership.may_answer(ID, Epoch(1), at(999)));
    assert!(!ownership.may_answer(ID, Epoch(1), at(1000)));
    let to = owner("b", 1);
    let epoch = Epoch(1);
    control.apply(Command::Move { id: ID, epoch, to });
    assert_eq!(control.tell(&ownership), [ID]);
    assert_eq!(ownership.may_start(ID, at(0)), None, "it goes");
    assert!(ownership.may_answer(ID, epoch, at(0)));
    let by = owner("a", 1);
    control.apply(Command::Stopped { id: ID, epoch, by });
    control.tell(&ownership);
    assert!(!ownership.may_answer(ID, epoch, at(0)), "it is gone");
}

#[test]
fn a_slot_that_came_back_at_once_was_nobody_elses() {
    let (mut control, ownership) = owned_by_a();
    let (to, epoch) = (owner("b", 1), Epoch(1));
    control.apply(Command::Move { id: ID, epoch, to });
    control.apply(Command::Abort { id: ID, epoch });
    control.tell(&ownership);
    assert_eq!(ownership.may_start(ID, at(0)), Some(Epoch(2)));
    assert!(ownership.may_answer(ID, Epoch(1), at(0)));
    assert!(!ownership.may_answer(ID, Epoch(0), at(0)));
}

#[test]
fn a_new_life_has_neither_slots_nor_a_lease() {
    let (_, ownership) = owned_by_a();
    ownership.handle_life(owner("a", 2));
    assert_eq!(ownership.may_start(ID, at(0)), None);
    ownership.handle_lease(at(900), at(1000));
    assert_eq!(ownership.may_start(ID, at(0)), None);
    assert!(!ownership.may_answer(ID, Epoch(1), at(0)));
}

#[test]
fn calls_go_where_the_slot_is_going() {
    let (mut control, ownership) = owned_by_a();
    let key = (0_u64..).map(u64::to_le_bytes);
    let slots = SlotCount::new(SLOTS).expect("a power of two");
    let mut key = key.filter(|key| slots.slot_of(key) == ID.slot);
    let key = key.next().expect("some key is in it");
    let a = owner("a", 1);
    assert_eq!(ownership.locate(GROUP, &key), Some((ID, a, Epoch(1))));
    let (to, epoch) = (owner("b", 1), Epoch(1));
    control.apply(Command::Move { id: ID, epoch, to });
    control.tell(&ownership);
    assert_eq!(ownership.locate(GROUP, &key), Some((ID, to, Epoch(1))));
    assert_eq!(ownership.locate(GroupId(9), &key), None, "no such group");
}

#[tokio::test]
async fn a_change_wakes_whoever_waits() {
    let mut control = Control::of(&["a"], CART);
    let ownership = Ownership::new(owner("a", 1));
    let mut changes = ownership.changes();
    control.tell(&ownership);
    changes.changed().await.expect("there is a sender");
    assert_eq!(*changes.borrow_and_update(), control.0.version());
    control.assign(GROUP, owner("a", 1));
    assert!(!changes.has_changed().expect("there is a sender"));
    control.tell(&ownership);
    assert!(changes.has_changed().expect("there is a sender"));
}
