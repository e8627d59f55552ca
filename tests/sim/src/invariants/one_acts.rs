//! A turn of a keyed actor starts only where the actor's slot is, and under a lease; and no two
//! activations of a key run at once, but for a turn that was running already when its lease ended.

use super::tenure::Tenure;
use super::{Broken, Invariant};
use crate::harness::sometimes::sometimes;
use crate::ledger::{Acting, Entry, Event, Token};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct OneActs {
    tenure: Tenure,
    running: BTreeMap<Token, Acting>,
    /// Turns that began in this tick, and those that ran beside them.
    began: Vec<(Duration, Acting)>,
    beside: Vec<(Duration, Acting, Acting)>,
}

impl OneActs {
    fn begin(&mut self, at: Duration, turn: Token, acting: &Acting) -> Result<(), Broken> {
        self.began.push((at, acting.clone()));
        for other in self.running.values().filter(|it| it.actor == acting.actor) {
            if is_same(other, acting) {
                if !(other.is_shared && acting.is_shared) {
                    return Err(format!("{acting:?} began beside {other:?}"));
                }
            } else {
                self.beside.push((at, acting.clone(), other.clone()));
            }
        }
        self.running.insert(turn, acting.clone());
        Ok(())
    }
}

impl Invariant for OneActs {
    fn name(&self) -> &'static str {
        "one-activation-of-a-key-acts"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        self.tenure.see(entry);
        match &entry.event {
            Event::Acting { turn, of, .. } => self.begin(entry.at, *turn, of),
            Event::Acted { turn, .. } => {
                self.running.remove(turn);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn at(&mut self, _: Duration) -> Result<(), Broken> {
        for (at, acting) in self.began.drain(..) {
            if self.tenure.is_elsewhere(&acting) {
                return Err(format!("{acting:?} began, and the slot is another's"));
            }
            if self.tenure.has_ended(&acting, at) {
                return Err(format!("{acting:?} began without a lease"));
            }
        }
        for (at, acting, other) in self.beside.drain(..) {
            if !self.tenure.has_ended(&other, at) {
                return Err(format!("{acting:?} began beside {other:?}"));
            }
            sometimes!("a-turn-outlived-its-lease");
        }
        self.tenure.end_tick();
        Ok(())
    }
}

/// Whether two turns are of one activation.
fn is_same(one: &Acting, other: &Acting) -> bool {
    (one.on, one.life, one.epoch) == (other.on, other.life, other.epoch)
}
