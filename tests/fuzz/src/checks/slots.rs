//! What the control group keeps and tells: commands of its log, its state, what has changed of it.
//!
//! An input is a list of commands, each behind its length. They are applied one after the other, so
//! that states and deltas come about which no bytes of a fuzzer's own would make: a state carries a
//! checksum. The whole input is read as a state and as a delta as well.

use std::collections::{BTreeMap, BTreeSet};

use callboard_protocol::{
    id::{ClusterId, DiskId, Incarnation, InterfaceId, NodeName, RoleName},
    slots::{
        Command, Delta, Epoch, Group, GroupId, Lack, Member, Owner, Settings, Slot, SlotCount,
        SlotId, State, Version, View,
    },
};

use super::{Heap, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "slots",
    check,
    seeds,
};

fn check(bytes: &[u8], heap: Heap) -> bool {
    let allowed = RECORD_BYTES + GROWTH * bytes.len();
    if let Ok(state) = heap.within(allowed, || State::decode(bytes)) {
        assert_eq!(State::decode(&state.encode()), Ok(state));
    }
    if let Ok(delta) = heap.within(allowed, || Delta::decode(bytes)) {
        assert_eq!(Delta::decode(&delta.encode()), Ok(delta.clone()));
        // Each of its groups has a table of up to 65,536 slots, so one of many would only be slow.
        if bytes.len() <= DELTA_BYTES {
            // It may be refused, and must not be the end of who takes it.
            let _ = View::new().handle_delta(&delta);
        }
    }
    let (mut state, mut applied) = (State::new(), false);
    for command in commands(bytes) {
        let Ok(command) = heap.within(allowed, || Command::decode(command)) else {
            continue;
        };
        assert_eq!(Command::decode(&command.encode()), Ok(command.clone()));
        // A larger table is not another one, and slow to compare.
        if matches!(command, Command::Form { slots, .. } if slots.get() > SLOTS) {
            continue;
        }
        let before = state.clone();
        match state.apply(&command) {
            Ok(_) => applied = true,
            Err(refusal) => {
                assert!(!refusal.to_string().is_empty());
                assert_eq!(state, before, "a refused command has changed something");
            }
        }
    }
    if applied {
        check_state(&state);
    }
    applied
}

fn check_state(state: &State) {
    let bytes = state.encode();
    let again = State::decode(&bytes).expect("what was encoded is read");
    assert_eq!(again, *state);
    assert_eq!(again.encode(), bytes, "one value has one encoding");
    let mut cut = bytes;
    if let Some(last) = cut.last_mut() {
        *last ^= 1;
    }
    assert!(State::decode(&cut).is_err(), "a damaged one is read");
    let delta = state.since(Version::default(), usize::MAX);
    let delta = delta.expect("a cluster was formed");
    assert_eq!(Delta::decode(&delta.encode()), Ok(delta.clone()));
    let taken = View::new().handle_delta(&delta);
    taken.expect("a view takes what the state tells");
}

/// Cuts an input into commands.
fn commands(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (command, rest) = rest.split_at(length);
        bytes = rest;
        Some(command)
    })
}

fn seeds() -> Vec<Vec<u8>> {
    let of = |commands: &[Command]| {
        let mut bytes = Vec::new();
        for command in commands {
            let command = command.encode();
            let length = u16::try_from(command.len()).expect("a short one");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&command);
        }
        bytes
    };
    let form = Command::Form {
        cluster: CLUSTER,
        slots: SlotCount::new(8).expect("a power of two"),
        settings: Settings::default(),
    };
    let member = |name: &str| Member {
        name: NodeName::new(name).expect("a name"),
        incarnation: Incarnation(1),
        disk: Some(DiskId(7)),
        addr: "10.0.0.1:7400".parse().expect("an address"),
        zone: "a".to_owned(),
        roles: BTreeSet::from([RoleName::new("admin").expect("a name")]),
        labels: BTreeMap::from([("disk".to_owned(), "ssd".to_owned())]),
        hosts: BTreeSet::from([CART]),
        version: 1,
        movable: BTreeSet::new(),
        lacks: BTreeMap::from([(InterfaceId(9), Lack::Zone(BTreeSet::from(["b".to_owned()])))]),
        weight: 100,
    };
    let join = |name: &str| Command::Join {
        cluster: CLUSTER,
        member: Box::new(Member {
            disk: None,
            ..member(name)
        }),
        heir_of: None,
    };
    let owner = |name: &str| member(name).owner();
    let place = Command::Place(Group::of(GROUP, [CART]));
    let assign = |slots: &[u32], to: Owner| Command::Assign {
        group: GROUP,
        slots: slots.iter().map(|slot| (Slot(*slot), Epoch(0))).collect(),
        to,
    };
    let id = SlotId {
        group: GROUP,
        slot: Slot(3),
    };
    let to_n2 = Command::Move {
        id,
        epoch: Epoch(1),
        to: owner("n2"),
    };
    let stopped = Command::Stopped {
        id,
        epoch: Epoch(1),
        by: owner("n1"),
    };
    let abort = Command::Abort {
        id,
        epoch: Epoch(1),
    };
    let heir = Command::Join {
        cluster: CLUSTER,
        member: Box::new(member("n1")),
        heir_of: Some(Incarnation(0)),
    };
    let owned = [
        form.clone(),
        join("n1"),
        join("n2"),
        place.clone(),
        assign(&[1, 2, 3], owner("n1")),
    ];
    let seats = Command::Seats(BTreeMap::from([(owner("n1").node, DiskId(7))]));
    vec![
        of(&[form.clone(), Command::Set(Settings::default())]),
        of(&[form, heir, seats, place]),
        of(&[&owned[..], &[to_n2.clone(), stopped]].concat()),
        of(&[&owned[..], &[to_n2, Command::Lapse(owner("n1")), abort]].concat()),
        of(&[&owned[..], &[Command::Drain(owner("n2"))]].concat()),
        of(&[
            &owned[..],
            &[Command::Drain(owner("n2")), Command::Leave(owner("n2"))],
        ]
        .concat()),
    ]
}

const CLUSTER: ClusterId = ClusterId(0x0102_0304);
const GROUP: GroupId = GroupId(1);
const CART: InterfaceId = InterfaceId(0xca47);

/// The tables of the states that are checked.
const SLOTS: u32 = 64;

/// The deltas that are taken whatever they say.
const DELTA_BYTES: usize = 200;

/// What an error, and the least that a collection allocates, may take.
const RECORD_BYTES: usize = 4 << 10;

/// A slot of a few bytes on the wire has so many in memory; a vector that grows has it three times.
const GROWTH: usize = 256;
