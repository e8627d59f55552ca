use std::{collections::BTreeMap, time::Duration};

use callboard_macros::{Actor, handlers};
use callboard_protocol::{
    id::{ClusterId, Incarnation, NodeId, NodeName},
    rights::Policy,
    slots::{Command, Group, Member, Settings, SlotCount, State},
    supervision::Strategy,
    time::Time,
    wire::{Limits, hello::PeerKind},
};

use super::*;
use crate::{
    CallLimits, call::Me, cluster::Ownership, env::Env, service::hosting::guardian, task::Tasks,
};

/// It has a key, and no state.
#[derive(Default, Actor)]
#[actor(crate = crate, key = u32)]
pub(crate) struct Clerk;

#[handlers(crate = crate)]
impl Clerk {
    pub fn ask(&self) {}
}

const SLOT: Slot = Slot(0);

fn hub() -> Arc<Hub> {
    let me = Me {
        id: NodeId(1),
        name: "one".to_owned(),
        incarnation: Incarnation(1),
        kind: PeerKind::Node,
    };
    Hub::new(
        me,
        Env::real(),
        Tasks::new("one"),
        Limits::default(),
        CallLimits::default(),
        Policy::default(),
        Duration::from_secs(3),
    )
}

fn clerks(hub: &Arc<Hub>) -> Activations<Clerk> {
    Activations(Arc::new(Inner {
        hub: hub.clone(),
        guardian: guardian(hub, Strategy::OneForOne),
        factory: Arc::new(|_| Clerk),
        face: Weak::new(),
        on_end: OnceLock::new(),
        cells: Mutex::new(Cells::new()),
    }))
}

fn owner(name: &str) -> Owner {
    Owner {
        node: NodeId::of(&NodeName::new(name).expect("a name")),
        incarnation: Incarnation(1),
    }
}

/// The tables of a cluster in which all slots are the first one's.
fn tables() -> State {
    let kind = interface_id::<<Clerk as Handlers>::Interface>();
    let group = group_of(kind);
    let mut state = State::new();
    let mut apply = |command| state.apply(&command).expect("fits");
    apply(Command::Form {
        cluster: ClusterId(7),
        slots: SlotCount::new(1).expect("a power of two"),
        settings: Settings::default(),
    });
    for name in ["one", "two"] {
        let member = Member {
            name: NodeName::new(name).expect("a name"),
            incarnation: Incarnation(1),
            disk: None,
            addr: "127.0.0.1:1".parse().expect("an address"),
            zone: String::new(),
            roles: BTreeSet::new(),
            labels: BTreeMap::new(),
            hosts: BTreeSet::from([kind]),
            movable: BTreeSet::new(),
            lacks: BTreeMap::new(),
            version: 1,
            weight: 100,
        };
        apply(Command::Join {
            cluster: ClusterId(7),
            member: Box::new(member),
            heir_of: None,
        });
    }
    apply(Command::Place(Group::of(group, [kind])));
    apply(Command::Assign {
        group,
        slots: vec![(SLOT, Epoch(0))],
        to: owner("one"),
    });
    state
}

fn tell(ownership: &Ownership, state: &State) {
    let news = state
        .since(ownership.version(), usize::MAX)
        .expect("formed");
    ownership.handle_delta(&news).expect("fits");
}

#[tokio::test]
async fn a_call_that_finds_an_actor_ending_because_its_slot_goes_is_made_again_elsewhere() {
    let hub = hub();
    let clerks = clerks(&hub);
    let (mut state, ownership) = (tables(), Arc::new(Ownership::new(owner("one"))));
    ownership.handle_lease(Time::MAX, Time::MAX);
    tell(&ownership, &state);
    let id = SlotId {
        group: group_of(clerks.interface()),
        slot: SLOT,
    };
    let epoch = state.entry(id).expect("known").epoch;
    // It is bound to the slot before the move is seen, and comes to the directory after that.
    let fence = Fence::new(ownership.clone(), id, epoch);
    let activation = |fence: &Fence| clerks.activation(&7, Some(fence)).map(drop);
    activation(&fence).expect("it begins");
    let known = |cells: &Cells<Clerk>| cells.get(Some(SLOT), &7).map(|it| it.cell().addr().actor);
    let actor = known(&clerks.0.cells()).expect("it is there");
    let known = hub.actor(actor).and_then(|it| it.supervised());
    let (guardian, child) = known.expect("it is known");
    // No other task runs before the first await: it does not end meanwhile.
    child.close();
    let stopped = activation(&fence).expect_err("it ends");
    assert_eq!(stopped.code(), Code::ActorStopped, "the slot has not gone");
    let to = owner("two");
    state.apply(&Command::Move { id, epoch, to }).expect("fits");
    tell(&ownership, &state);
    let moved = activation(&fence).expect_err("it ends");
    assert_eq!(moved.code(), Code::Moved);
    guardian.stop(Duration::from_secs(1)).await;
}

#[test]
fn an_actor_that_is_found_is_known_by_its_number() {
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.enable_all().build().expect("a runtime");
    let _entered = runtime.enter();
    let hub = hub();
    let clerks = clerks(&hub);
    let looks = clerks.0.clone();
    let finds = std::thread::spawn(move || {
        for key in 0..KEYS {
            // Whoever ends one stops it by its number.
            let actor = loop {
                let cells = looks.cells.try_lock();
                let found = cells
                    .ok()
                    .and_then(|it| Some(it.get(None, &key)?.cell().addr().actor));
                match found {
                    Some(actor) => break actor,
                    None => std::hint::spin_loop(),
                }
            };
            assert!(looks.hub.actor(actor).is_some(), "{key}");
        }
    });
    for key in 0..KEYS {
        clerks.activation(&key, None).map(drop).expect("it begins");
    }
    finds.join().expect("all are known");
}

/// Enough that one is found between the two steps, if there is anything between them.
const KEYS: u32 = 2000;
