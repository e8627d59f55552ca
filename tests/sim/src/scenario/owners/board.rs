//! What the machines of the world share outside the network: what the nodes say of themselves, what the
//! world is at, and who is to leave.
//!
//! An actor that comes from another node is made of what was sent, so it cannot bring the board along: a
//! world has one, and a thread one world.

use super::super::cluster::Said;
use super::setup::Setup;
use crate::harness::trace;
use crate::harness::{Failure, Seed};
use crate::ledger::{Event, Ledger, MachineNumber};
use callboard::Node;
use callboard_protocol::slots::{Entry, Owner, SlotId, Version};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

thread_local! {
    static BOARD: RefCell<Option<Arc<Board>>> = const { RefCell::new(None) };
}

/// What the world is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everything is called, everything fails.
    Storm,
    /// Every key is called until it answers.
    Asking,
    /// What is called succeeds.
    Orderly,
}

/// The shared part of a world.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) ledger: Ledger,
    pub(super) seed: Seed,
    pub(super) setup: Setup,
    /// How many calls and turns have begun and not ended.
    under_way: AtomicUsize,
    state: Mutex<State>,
}

/// A call, or a turn, that has begun, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Board>);

#[derive(Debug)]
pub(super) struct State {
    pub(super) said: BTreeMap<MachineNumber, Said>,
    nodes: BTreeMap<MachineNumber, Weak<Node>>,
    leases: BTreeMap<MachineNumber, (Owner, Duration)>,
    /// The newest of what the nodes know of the slots, and its version.
    pub(super) newest: BTreeMap<SlotId, Entry>,
    version: Version,
    /// What each version says, for one who says that it knows it too.
    tables: BTreeMap<Version, Vec<(SlotId, Entry)>>,
    /// What must not be, if nodes say it.
    pub(super) failure: Option<Failure>,
    pub(super) phase: Phase,
    /// How often all keys were to be asked, and who has had all answers of the last time.
    pub(super) round: u64,
    pub(super) answered: BTreeSet<MachineNumber>,
    pub(super) leaving: BTreeSet<MachineNumber>,
    pub(super) left: BTreeSet<MachineNumber>,
}

impl Board {
    /// Makes the board of this thread.
    pub(super) fn new(ledger: Ledger, seed: Seed, setup: Setup) -> Arc<Self> {
        let board = Arc::new(Self {
            ledger,
            seed,
            setup,
            under_way: AtomicUsize::new(0),
            state: Mutex::new(State {
                said: BTreeMap::new(),
                nodes: BTreeMap::new(),
                leases: BTreeMap::new(),
                newest: BTreeMap::new(),
                version: Version::default(),
                tables: BTreeMap::new(),
                failure: None,
                phase: Phase::Storm,
                round: 0,
                answered: BTreeSet::new(),
                leaving: BTreeSet::new(),
                left: BTreeSet::new(),
            }),
        });
        BOARD.set(Some(board.clone()));
        board
    }

    /// Returns the board of this thread.
    pub(super) fn current() -> Arc<Self> {
        BOARD.with_borrow(|board| board.clone().expect("a world has a board"))
    }

    /// A call, or a turn, begins.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.clone())
    }

    /// Returns whether no call and no turn is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Relaxed) == 0
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the machine of a node.
    pub(super) fn machine(&self, node: &str) -> MachineNumber {
        let machines = 0..self.setup.nodes;
        machines
            .into_iter()
            .find(|it| self.setup.name(*it) == node)
            .expect("a node is one of the world's")
    }

    /// A machine's node has started. It may be asked how it stands from now on.
    pub(super) fn set_node(&self, machine: MachineNumber, node: &Arc<Node>) {
        self.state().nodes.insert(machine, Arc::downgrade(node));
        self.ask(machine);
    }

    /// Returns a machine's node, while it runs.
    pub(super) fn node(&self, machine: MachineNumber) -> Option<Arc<Node>> {
        self.state().nodes.get(&machine).and_then(Weak::upgrade)
    }

    /// Asks a machine's node how it stands at this moment; returns the life that it is in. Only on that
    /// machine, for its clocks.
    pub(super) fn ask(&self, machine: MachineNumber) -> Option<Owner> {
        let mut state = self.state();
        let node = state.nodes.get(&machine).and_then(Weak::upgrade)?;
        let position = node.position();
        let me = position.me;
        let left = position.lease_left;
        let lease_until = left.map(|left| trace::now() + self.setup.of_world(machine, left));
        let lease = (me, lease_until.unwrap_or_default());
        let before = state.leases.get(&machine).copied();
        let is_new = before.is_none_or(|(life, until)| {
            life != lease.0 || left.is_some() && lease.1.abs_diff(until) > LEASE_ROUNDING
        });
        // That one has run out need not be said: it is known when it does.
        if is_new {
            let (life, until) = lease;
            self.ledger.record(Event::Leased {
                machine,
                life,
                until,
            });
            state.leases.insert(machine, lease);
        }
        let known = state.said.get(&machine).map(|it| it.position.version);
        if known != Some(position.version) {
            self.know(&mut state, machine, position.version, node.entries());
        }
        let said = Said {
            position,
            lease_until,
        };
        state.said.insert(machine, said);
        Some(me)
    }

    /// Takes in what a node knows of all slots.
    fn know(
        &self,
        state: &mut State,
        machine: MachineNumber,
        version: Version,
        table: Vec<(SlotId, Entry)>,
    ) {
        if version > state.version {
            state.version = version;
            for &(slot, entry) in &table {
                if state.newest.insert(slot, entry) != Some(entry) {
                    self.ledger.record(Event::Owned { slot, entry });
                }
            }
        }
        let known = state.tables.entry(version).or_insert_with(|| table.clone());
        if *known != table {
            let name = self.setup.name(machine);
            let detail = format!("{name} knows {version:?} as {table:?}, another {known:?}");
            let failure = Failure::now("a-version-is-the-same-everywhere", detail);
            state.failure.get_or_insert(failure);
        }
        // Of what is far behind nobody speaks any more.
        while state.tables.len() > VERSIONS_MAX {
            state.tables.pop_first();
        }
    }

    /// Asks a machine to leave, or lets it stay.
    pub(super) fn set_leaving(&self, machine: MachineNumber, is_leaving: bool) {
        let mut state = self.state();
        state.left.remove(&machine);
        if is_leaving {
            state.leaving.insert(machine);
        } else {
            state.leaving.remove(&machine);
        }
    }

    pub(super) fn is_leaving(&self, machine: MachineNumber) -> bool {
        self.state().leaving.contains(&machine)
    }

    /// Goes on to another phase. Who asks all keys begins anew.
    pub(super) fn set_phase(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        state.round += 1;
        state.answered.clear();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The same lease, looked at a tick later, seems to end a little later or sooner.
const LEASE_ROUNDING: Duration = Duration::from_millis(1);

/// How many versions are kept to be compared.
const VERSIONS_MAX: usize = 256;
