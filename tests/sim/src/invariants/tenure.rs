//! Who has which slot, and until when: what the promises about keyed actors are judged by.
//!
//! What the control group has decided is taken from the newest state that any node knows, and a lease
//! from what its holder says at each tick. Both may have changed within a tick, before or after what
//! is judged: so a turn is faulted only if it is wrong by what was true before the tick and by what is
//! true after it.

use crate::ledger::{Acting, Entry, Event, MachineNumber};
use callboard_protocol::slots::{self, Owner, SlotId};
use std::collections::BTreeMap;
use std::time::Duration;

/// What is known of all slots and leases, before and after a tick.
#[derive(Debug, Default)]
pub(super) struct Tenure {
    slots: Changing<SlotId, slots::Entry>,
    leases: Changing<MachineNumber, Lease>,
}

/// The lease of a life of a node.
#[derive(Debug, Clone, Copy)]
struct Lease {
    life: Owner,
    until: Duration,
}

/// Values, and those that they had before the tick.
#[derive(Debug)]
struct Changing<K, V> {
    now: BTreeMap<K, V>,
    before: BTreeMap<K, Option<V>>,
}

impl Tenure {
    /// Sees an event; returns the entry of a slot before it has changed.
    pub(super) fn see(&mut self, entry: &Entry) -> Option<slots::Entry> {
        match &entry.event {
            Event::Leased {
                machine,
                life,
                until,
            } => {
                let (life, until) = (*life, *until);
                self.leases.set(*machine, Lease { life, until });
                None
            }
            Event::Owned { slot, entry } => self.slots.set(*slot, *entry),
            _ => None,
        }
    }

    /// The tick is over.
    pub(super) fn end_tick(&mut self) {
        self.slots.before.clear();
        self.leases.before.clear();
    }

    /// Returns whether the slot of a turn is another owner's for certain.
    pub(super) fn is_elsewhere(&self, acting: &Acting) -> bool {
        let is_other = |it: Option<slots::Entry>| it.is_none_or(|it| it.owner != Some(acting.life));
        self.slots.both(&acting.slot).into_iter().all(is_other)
    }

    /// Returns whether the lease under which a turn is run has ended at a time for certain.
    pub(super) fn has_ended(&self, acting: &Acting, at: Duration) -> bool {
        let has_ended = |it: Option<Lease>| {
            it.is_none_or(|it| it.life != acting.life || at >= it.until + SLACK)
        };
        self.leases.both(&acting.on).into_iter().all(has_ended)
    }
}

impl<K: Ord + Clone, V: Copy> Changing<K, V> {
    fn set(&mut self, key: K, value: V) -> Option<V> {
        let before = self.now.insert(key.clone(), value);
        self.before.entry(key).or_insert(before);
        before
    }

    /// Returns what is known after the tick, and before it.
    fn both(&self, key: &K) -> [Option<V>; 2] {
        let now = self.now.get(key).copied();
        [now, self.before.get(key).copied().unwrap_or(now)]
    }
}

impl<K, V> Default for Changing<K, V> {
    fn default() -> Self {
        Self {
            now: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }
}

/// A lease is noted to the tick, and a turn's time too.
const SLACK: Duration = Duration::from_millis(2);
