//! What is handed over is whole: an activation finds what the turn before it has left, or nothing.
//! Nothing only where a node was lost; while all that changes is planned, no state is lost.

use super::tenure::Tenure;
use super::{Broken, Invariant};
use crate::harness::sometimes::sometimes;
use crate::ledger::{Acting, Entry, Event, Token};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct HandedOverWhole {
    tenure: Tenure,
    running: BTreeMap<Token, Acting>,
    /// What turns found and left in this tick.
    tick: Vec<Entry>,
    left: BTreeMap<String, Left>,
    /// All that changes is planned.
    is_orderly: bool,
}

/// What is known of the state of an actor.
#[derive(Debug)]
struct Left {
    by: Acting,
    /// What it may be. More than one, where a turn ended that was not to count any more.
    states: BTreeSet<u64>,
    /// All since is planned: it must not be lost.
    must_stay: bool,
}

impl HandedOverWhole {
    fn find(&mut self, acting: &Acting, found: u64) -> Result<(), Broken> {
        let Some(left) = self.left.get(&acting.actor) else {
            return match found {
                0 => Ok(()),
                _ => Err(format!("{acting:?} found {found}, and nobody has left it")),
            };
        };
        let is_same =
            (left.by.on, left.by.life, left.by.epoch) == (acting.on, acting.life, acting.epoch);
        if left.states.contains(&found) {
            if !is_same && found > 0 {
                sometimes!("a-state-went-along");
            }
            return Ok(());
        }
        let may_be_lost = found == 0 && !is_same && !left.must_stay;
        if may_be_lost {
            sometimes!("a-state-was-lost-with-its-node");
            return Ok(());
        }
        Err(format!("{acting:?} found {found} after {left:?}"))
    }

    fn leave(&mut self, acting: Acting, state: Option<u64>, is_late: bool) {
        let must_stay = self.is_orderly;
        match (state, is_late) {
            (Some(state), false) => {
                let states = BTreeSet::from([state]);
                let left = Left {
                    by: acting.clone(),
                    states,
                    must_stay,
                };
                self.left.insert(acting.actor, left);
            }
            // It counts for nobody, or was dropped before it left anything; but if its lease is renewed in
            // the end, it was the last one. The first turn of all has begun with nothing.
            (state, _) => {
                let left = self.left.entry(acting.actor.clone()).or_insert(Left {
                    by: acting,
                    states: BTreeSet::new(),
                    must_stay: false,
                });
                left.states.extend(state);
                left.states.insert(0);
            }
        }
    }
}

impl Invariant for HandedOverWhole {
    fn name(&self) -> &'static str {
        "what-is-handed-over-is-whole"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        self.tenure.see(entry);
        match &entry.event {
            Event::Acting { of, .. } if !of.is_handed_over => {}
            Event::Acting { .. } | Event::Acted { .. } => self.tick.push(entry.clone()),
            Event::Orderly => self.is_orderly = true,
            Event::Disturbed => {
                self.is_orderly = false;
                for left in self.left.values_mut() {
                    left.must_stay = false;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, _: Duration) -> Result<(), Broken> {
        for entry in std::mem::take(&mut self.tick) {
            match entry.event {
                Event::Acting { turn, of, found } => {
                    self.find(&of, found)?;
                    self.running.insert(turn, of);
                }
                Event::Acted { turn, left } => {
                    if let Some(of) = self.running.remove(&turn) {
                        let is_late =
                            self.tenure.is_elsewhere(&of) || self.tenure.has_ended(&of, entry.at);
                        self.leave(of, left, is_late);
                    }
                }
                _ => {}
            }
        }
        self.tenure.end_tick();
        Ok(())
    }
}
