//! An actor that fails begins anew, with those siblings that the strategy of its group names, and
//! with no others; one whose turn was aborted begins anew alone.

use super::{Broken, Invariant};
use crate::harness::sometimes::sometimes;
use crate::ledger::{Entry, Event, MachineNumber};
use callboard_protocol::supervision::Strategy;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// From the failure to the next incarnation: the longest backoff is 20 ms.
const RESTART: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct GroupRestartsTogether {
    /// The actors of the machines that stay, by their numbers.
    actors: BTreeMap<u64, Actor>,
    /// Machines that were asked to leave; their actors end.
    leaving: BTreeSet<MachineNumber>,
    /// When a machine went on, or will, after it stood still.
    awake: BTreeMap<MachineNumber, Duration>,
}

#[derive(Debug)]
struct Actor {
    on: MachineNumber,
    place: usize,
    strategy: Strategy,
    /// Since when it is to begin anew.
    owed: Option<Duration>,
    /// When it last had a reason to. Two reasons at the same time may make one new incarnation or
    /// two: one that starts as a sibling fails is overtaken.
    reason: Option<Duration>,
}

impl Actor {
    fn has_to_restart(&mut self, at: Duration) {
        self.owed = Some(at);
        self.reason = Some(at);
    }

    /// Returns whether a failure of `failed` restarts this one too.
    fn restarts_with(&self, failed: (MachineNumber, usize)) -> bool {
        let (on, place) = failed;
        self.on == on
            && match self.strategy {
                Strategy::OneForAll => true,
                Strategy::RestForOne => self.place >= place,
                _ => self.place == place,
            }
    }
}

impl GroupRestartsTogether {
    fn failing(&mut self, actor: u64, at: Duration) {
        let Some(failed) = self.actors.get(&actor).map(|actor| (actor.on, actor.place)) else {
            return;
        };
        for sibling in self.actors.values_mut() {
            if sibling.restarts_with(failed) {
                if sibling.place != failed.1 {
                    sometimes!("a-sibling-was-restarted");
                }
                sibling.has_to_restart(at);
            }
        }
    }

    fn began(&mut self, actor: u64, mut new: Actor, at: Duration) -> Result<(), Broken> {
        if self.leaving.contains(&new.on) {
            return Ok(());
        }
        let Some(before) = self.actors.remove(&actor) else {
            self.actors.insert(actor, new);
            return Ok(());
        };
        let in_time = before
            .reason
            .map(|reason| self.restarts_by(&before, reason));
        new.reason = before.reason;
        self.actors.insert(actor, new);
        if in_time.is_some_and(|limit| at <= limit) {
            return Ok(());
        }
        Err(format!(
            "actor {actor} on {} began anew, although neither it nor a sibling that takes it along \
             had failed",
            before.on
        ))
    }

    /// Returns when an actor has begun anew at the latest.
    fn restarts_by(&self, actor: &Actor, reason: Duration) -> Duration {
        let awake = self.awake.get(&actor.on).copied().unwrap_or_default();
        reason.max(awake) + RESTART
    }

    fn forget(&mut self, machine: MachineNumber) {
        self.actors.retain(|_, actor| actor.on != machine);
    }
}

impl Invariant for GroupRestartsTogether {
    fn name(&self) -> &'static str {
        "a-group-restarts-together"
    }

    fn see(&mut self, entry: &Entry) -> Result<(), Broken> {
        match entry.event {
            Event::Began {
                actor,
                on,
                place,
                strategy,
            } => {
                let new = Actor {
                    on,
                    place,
                    strategy,
                    owed: None,
                    reason: None,
                };
                return self.began(actor, new, entry.at);
            }
            Event::Failing { actor } => self.failing(actor, entry.at),
            Event::Aborted { actor } => {
                if let Some(actor) = self.actors.get_mut(&actor) {
                    actor.has_to_restart(entry.at);
                }
            }
            Event::Leaving { machine } => {
                self.leaving.insert(machine);
                self.forget(machine);
            }
            Event::Crashed { machine } => {
                self.leaving.remove(&machine);
                self.forget(machine);
            }
            Event::Paused { machine, until } => {
                self.awake.insert(machine, until);
            }
            _ => {}
        }
        Ok(())
    }

    fn at(&mut self, now: Duration) -> Result<(), Broken> {
        for (number, actor) in &self.actors {
            let Some(owed) = actor.owed else { continue };
            if now > self.restarts_by(actor, owed) {
                return Err(format!(
                    "actor {number} on {} was to begin anew at {} ms, and has not",
                    actor.on,
                    owed.as_millis()
                ));
            }
        }
        Ok(())
    }
}
