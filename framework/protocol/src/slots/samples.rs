//! Members, groups and states that the tests of several modules use.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::id::{ClusterId, DiskId, Incarnation, InterfaceId, NodeName, RoleName};
use crate::membership::VoterChoice;

pub(crate) const CLUSTER: ClusterId = ClusterId(0x0102_0304);
pub(crate) const GROUP: GroupId = GroupId(1);
pub(crate) const CART: InterfaceId = InterfaceId(0xca47);

/// The first life of the node with this number, which hosts [`CART`], a type that moves.
pub(crate) fn member(number: u64) -> Member {
    Member {
        name: NodeName::new(format!("n{number}")).expect("valid"),
        incarnation: Incarnation(1),
        disk: Some(DiskId(number)),
        addr: "10.0.0.1:7400".parse().expect("valid"),
        zone: String::new(),
        roles: BTreeSet::new(),
        labels: BTreeMap::new(),
        hosts: BTreeSet::from([CART]),
        movable: BTreeSet::from([CART]),
        lacks: BTreeMap::new(),
        version: 1,
        weight: 100,
    }
}

pub(crate) fn owner(number: u64) -> Owner {
    member(number).owner()
}

pub(crate) fn slot(slot: u32) -> SlotId {
    SlotId {
        group: GROUP,
        slot: Slot(slot),
    }
}

pub(crate) fn form(slots: u32) -> Command {
    Command::Form {
        cluster: CLUSTER,
        slots: SlotCount::new(slots).expect("a power of two"),
        settings: Settings::default(),
    }
}

pub(crate) fn join(member: Member, heir_of: Option<u64>) -> Command {
    Command::Join {
        cluster: CLUSTER,
        member: Box::new(member),
        heir_of: heir_of.map(Incarnation),
    }
}

pub(crate) fn assign(slots: impl IntoIterator<Item = u32>, epoch: u64, to: u64) -> Command {
    Command::Assign {
        group: GROUP,
        slots: slots
            .into_iter()
            .map(|it| (Slot(it), Epoch(epoch)))
            .collect(),
        to: owner(to),
    }
}

/// A cluster of these nodes with one group and this many slots, which nobody owns yet.
pub(crate) fn cluster(nodes: u64, slots: u32) -> State {
    let mut state = State::new();
    state.apply(&form(slots)).expect("first");
    for number in 1..=nodes {
        state.apply(&join(member(number), None)).expect("new");
    }
    let group = Group::of(GROUP, [CART]);
    state.apply(&Command::Place(group)).expect("new");
    state
}

/// One lack of every kind.
pub(crate) fn lacks() -> BTreeMap<InterfaceId, Lack> {
    let (key, value) = ("disk".into(), "ssd".into());
    BTreeMap::from([
        (
            InterfaceId(1),
            Lack::Role(RoleName::new("storage").expect("valid")),
        ),
        (InterfaceId(2), Lack::Label { key, value }),
        (
            InterfaceId(3),
            Lack::Zone(["b", "c"].map(String::from).into()),
        ),
    ])
}

/// One command of every kind, with every field set.
pub(crate) fn commands() -> Vec<Command> {
    let mut member = member(1);
    member.zone = "a".into();
    member.roles.insert(RoleName::new("admin").expect("valid"));
    member.labels.insert("disk".into(), "ssd".into());
    member.lacks = lacks();
    let mut group = Group::of(GROUP, [CART]);
    group.version_min = 1;
    let (id, epoch) = (slot(3), Epoch(300));
    vec![
        form(8),
        join(member, Some(0)),
        Command::Lapse(owner(1)),
        Command::Drain(owner(1)),
        Command::Leave(owner(1)),
        Command::Place(group),
        assign([1, 2], 4, 1),
        Command::Move {
            id,
            epoch,
            to: owner(2),
        },
        Command::Stopped {
            id,
            epoch,
            by: owner(1),
        },
        Command::Abort { id, epoch },
        Command::Seats(BTreeMap::from([(owner(1).node, DiskId(1))])),
        Command::Set(Settings::default()),
        Command::Choose {
            of: owner(1),
            choice: Some(VoterChoice::Barred),
        },
        Command::Choose {
            of: owner(1),
            choice: None,
        },
    ]
}
