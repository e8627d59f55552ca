//! What the machines of the world share outside the network: the phase, and who has recovered.
//!
//! The refs of all actors are kept here as bytes: a machine that uses one decodes it and attaches it
//! to its own node, as if it had come in a letter.

use super::hosted::LogRef;
use super::setup::Setup;
use crate::harness::Seed;
use crate::ledger::{Event, Ledger, MachineNumber};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

/// What the world is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// The cluster forms.
    Warm,
    /// Everything is called, everything fails.
    Storm,
    /// Only what has to succeed is called.
    Calm,
    /// Nobody calls.
    Quiet,
}

/// The shared part of a world.
pub(super) struct Board {
    pub(super) ledger: Ledger,
    pub(super) seed: Seed,
    pub(super) setup: Setup,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    cards: BTreeMap<MachineNumber, Vec<Card>>,
    recovered: BTreeSet<MachineNumber>,
    leaving: BTreeSet<MachineNumber>,
    numbers: u64,
}

/// The actors of one life of a node.
struct Card {
    logs: Vec<Vec<u8>>,
}

impl Board {
    pub(super) fn new(ledger: Ledger, seed: Seed, setup: Setup) -> Arc<Self> {
        let state = State {
            phase: Phase::Warm,
            cards: BTreeMap::new(),
            recovered: BTreeSet::new(),
            leaving: BTreeSet::new(),
            numbers: 0,
        };
        Arc::new(Self {
            ledger,
            seed,
            setup,
            state: Mutex::new(state),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        self.state().phase
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        crate::harness::trace::event!("phase {phase:?}");
        self.state().phase = phase;
    }

    /// Returns a number that nothing else in the world has.
    pub(super) fn number(&self) -> u64 {
        let mut state = self.state();
        state.numbers += 1;
        state.numbers
    }

    /// Publishes the actors of a node that has just started.
    pub(super) fn publish(&self, machine: MachineNumber, logs: &[LogRef]) {
        let bytes = logs
            .iter()
            .map(|log| serde_json::to_vec(log).expect("a ref has an encoding"));
        let card = Card {
            logs: bytes.collect(),
        };
        self.state().cards.entry(machine).or_default().push(card);
    }

    /// Returns how often anything was published.
    pub(super) fn edition(&self) -> usize {
        self.state().cards.values().map(Vec::len).sum()
    }

    /// Returns the actors of all nodes as they run now and, with `stale`, those of the lives before.
    pub(super) fn logs(&self, stale: bool) -> Vec<LogRef> {
        let state = self.state();
        let cards = state.cards.values().flat_map(|cards| {
            let lives = if stale { 2 } else { 1 };
            cards.iter().rev().take(lives)
        });
        let bytes = cards.flat_map(|card| &card.logs);
        bytes
            .map(|bytes| serde_json::from_slice(bytes).expect("it was encoded here"))
            .collect()
    }

    /// Asks a machine to leave in good order, or takes that back.
    pub(super) fn set_leaving(&self, machine: MachineNumber, is_leaving: bool) {
        let mut state = self.state();
        if is_leaving {
            state.leaving.insert(machine);
        } else {
            state.leaving.remove(&machine);
        }
    }

    pub(super) fn is_leaving(&self, machine: MachineNumber) -> bool {
        self.state().leaving.contains(&machine)
    }

    /// Notes that a machine gets answers from everywhere.
    pub(super) fn recovered(&self, machine: MachineNumber) {
        if self.state().recovered.insert(machine) {
            self.ledger.record(Event::Recovered { machine });
        }
    }

    pub(super) fn all_recovered(&self) -> bool {
        self.state().recovered.len() == self.setup.machines()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Board")
    }
}
