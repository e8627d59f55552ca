//! What must hold after every event, and what must come true when the faults stop.

use super::node::profile;
use super::world::{GROUP_SLOTS, World};
use crate::slots::{Event, samples};

impl World {
    /// No two nodes act on a slot at once.
    pub(super) fn check_owners(&mut self) {
        for number in 0..GROUP_SLOTS {
            let id = samples::slot(number);
            let now = self.now;
            let acting = self.nodes.iter().filter(|node| node.acts_on(id, now));
            let acting: Vec<_> = acting.map(|node| node.me()).collect();
            if let [first, second, ..] = acting[..] {
                self.violated(format!("{first} and {second} act on {id}"));
            }
            if !acting.is_empty() {
                self.acted_at.insert(id, now);
            }
        }
    }

    /// Epochs of a slot only grow, and only members own.
    pub(super) fn check_events(&mut self, events: &[Event]) {
        for event in events {
            if let Event::Owned { id, epoch, owner } = event {
                let before = self.epochs.insert(*id, *epoch);
                if before.is_some_and(|before| before >= *epoch) {
                    self.violated(format!("slot {id} has epoch {epoch} after {before:?}"));
                }
                if !self.log.state.is_live(*owner) {
                    self.violated(format!("slot {id} was given to {owner}, which is gone"));
                }
            }
        }
    }

    /// A renewal was granted by who does not lead, after a quorum could have said so.
    pub(super) fn check_grant(&mut self, leader: usize) {
        let node = &self.nodes[leader];
        let (term, elected) = (node.leads, self.elected_at);
        let batch = profile().batch.as_micros();
        // The read began at most a round trip ago; a leader that was deposed well before has none.
        let long_ago = u128::from(self.now.saturating_sub(elected)) > batch + READ_MAX_MICROS;
        if term != Some(self.log.term) && long_ago {
            self.violated(format!("node {leader} was deposed and renews leases"));
        }
    }

    /// What was forwarded runs once at most.
    pub(super) fn run_sends(&mut self, sends: impl IntoIterator<Item = u64>) {
        for send in sends {
            if !self.ran.insert(send) {
                self.violated(format!("send {send} ran twice"));
            }
        }
    }

    /// Every slot has an owner that acts, or had one a moment ago and is on its way to another.
    pub(super) fn check_recovered(&mut self) {
        for number in 0..GROUP_SLOTS {
            let id = samples::slot(number);
            let acted_at = self.acted_at.get(&id);
            if acted_at.is_none_or(|at| self.now - at > MOMENT_MICROS) {
                let entry = self.log.state.entry(id);
                self.violated(format!("nobody acts on {id}: {entry:?}"));
            }
        }
    }
}

/// How long a slot may be on its way.
const MOMENT_MICROS: u64 = 700_000;

/// The longest time between the beginning of a read and the grant that it allows.
const READ_MAX_MICROS: u128 = 5_000_000;
