//! No reply leaves a node whose lease has ended, or whose slot another one has, when the turn ends.

use super::tenure::Tenure;
use super::{Broken, Invariant};
use crate::harness::sometimes::sometimes;
use crate::ledger::{Acting, Entry, Event, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct NothingLeavesLate {
    tenure: Tenure,
    running: BTreeMap<Token, Acting>,
    /// Turns that ended in this tick.
    ended: Vec<(Duration, Token, Acting)>,
    late: BTreeMap<Token, Acting>,
    replied: BTreeSet<Token>,
}

impl Invariant for NothingLeavesLate {
    fn name(&self) -> &'static str {
        "no-reply-leaves-after-the-lease"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        self.tenure.see(entry);
        match &entry.event {
            Event::Acting { turn, of, .. } => {
                self.running.insert(*turn, of.clone());
            }
            Event::Acted { turn, .. } => {
                let acting = self.running.remove(turn);
                self.ended
                    .extend(acting.map(|acting| (entry.at, *turn, acting)));
            }
            Event::Replied { turn } => {
                self.replied.insert(*turn);
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, _: Duration) -> Result<(), Broken> {
        for (at, turn, acting) in self.ended.drain(..) {
            if self.tenure.is_elsewhere(&acting) || self.tenure.has_ended(&acting, at) {
                sometimes!("a-turn-ended-without-a-lease");
                self.late.insert(turn, acting);
            }
        }
        self.tenure.end_tick();
        for turn in std::mem::take(&mut self.replied) {
            if let Some(acting) = self.late.get(&turn) {
                return Err(format!(
                    "turn {turn}, {acting:?}, ended without a lease, and its caller has a reply"
                ));
            }
        }
        Ok(())
    }
}
