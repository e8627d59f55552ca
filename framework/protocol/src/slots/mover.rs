//! The leader's side of moves: begins them at a bounded rate, and sees each of them to its end.
//!
//! Every slot has a state and timers of its own, so one that is stuck holds up no other. What is
//! proposed may be lost, come twice or come too late: it is proposed again until the log shows an
//! end, and the state refuses what does not fit any more. Does not decide where slots should go.
//! Depends on the other values of `slots` and on `time`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::SlotId;
use super::command::{Command, Event};
use super::member::Owner;
use super::state::State;
use super::table::Epoch;
use crate::time::Time;

/// A move that is to be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlannedMove {
    /// Which slot.
    pub id: SlotId,
    /// The epoch that it has.
    pub epoch: Epoch,
    /// Where it goes.
    pub to: Owner,
}

/// The moves of all slots, while this node leads.
#[derive(Debug)]
pub struct Mover {
    leads: bool,
    again: Duration,
    limit: Duration,
    interval: Duration,
    next_begin: Time,
    planned: VecDeque<PlannedMove>,
    under_way: BTreeMap<SlotId, UnderWay>,
    /// When something is due for a slot that is under way.
    due: BTreeSet<(Time, SlotId)>,
    /// Slots whose move came to nothing, and until when they rest.
    resting: BTreeMap<SlotId, Time>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    epoch: Epoch,
    from: Owner,
    to: Owner,
    end: Option<End>,
    due: Time,
}

/// How a move is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The old owner has stopped.
    Stopped,
    /// Without its word: at whoever of the two lives, the old owner first.
    Abort,
}

impl Mover {
    /// Makes the mover of a node that does not lead.
    ///
    /// `again` is the time after which something is proposed again, `limit` the time without a word
    /// of the old owner after which a move is given up: more than a lease, so that an owner that is
    /// lost is waited out first.
    #[must_use]
    pub fn new(again: Duration, limit: Duration) -> Self {
        Self {
            leads: false,
            again,
            limit,
            interval: Duration::ZERO,
            next_begin: Time::ZERO,
            planned: VecDeque::new(),
            under_way: BTreeMap::new(),
            due: BTreeSet::new(),
            resting: BTreeMap::new(),
        }
    }

    /// This node leads from now on, and goes on with what the leader before has begun.
    ///
    /// Called AFTER the first entry of the term is applied, so that nothing of before is still to
    /// come.
    pub fn handle_leading(&mut self, state: &State, now: Time) {
        self.handle_deposed();
        self.leads = true;
        self.next_begin = now;
        self.interval = interval(state.settings().moves_per_second);
        for (group, table) in state.groups() {
            let group = group.id;
            for (slot, entry) in table.iter() {
                if let (Some(from), Some(to)) = (entry.owner, entry.moving) {
                    let id = SlotId { group, slot };
                    self.begin(id, entry.epoch, from, to, now);
                    for owner in [from, to].into_iter().filter(|it| !state.is_live(*it)) {
                        self.lose(owner, now);
                    }
                }
            }
        }
    }

    /// This node leads no more.
    pub fn handle_deposed(&mut self) {
        *self = Self::new(self.again, self.limit);
    }

    /// These moves are to be made, instead of those that were planned before and have not begun.
    pub fn handle_plan(&mut self, planned: Vec<PlannedMove>) {
        self.planned = planned.into();
    }

    /// A command was applied, with this event.
    pub fn handle_event(&mut self, event: &Event, state: &State, now: Time) {
        if !self.leads {
            return;
        }
        match *event {
            Event::Moving {
                id,
                from,
                to,
                epoch,
            } => self.begin(id, epoch, from, to, now),
            Event::Owned { id, owner, .. } => {
                let ended = self.end(id);
                if ended.is_some_and(|it| it.from == owner) {
                    self.resting.insert(id, now + self.limit);
                }
            }
            Event::Orphaned(id) => {
                self.end(id);
            }
            Event::Lapsed(_) | Event::Left(_) | Event::Joined(_) => {
                let parties = self.under_way.values().flat_map(|it| [it.from, it.to]);
                let lost: BTreeSet<Owner> = parties.filter(|it| !state.is_live(*it)).collect();
                for owner in lost {
                    self.lose(owner, now);
                }
            }
            Event::Set => self.interval = interval(state.settings().moves_per_second),
            _ => {}
        }
    }

    /// The old owner says that it has stopped. What it says of another epoch is ignored.
    pub fn handle_stopped(&mut self, id: SlotId, epoch: Epoch, by: Owner, now: Time) {
        self.handle_word(id, epoch, by, End::Stopped, now);
    }

    /// The old owner says that a turn does not end.
    pub fn handle_stuck(&mut self, id: SlotId, epoch: Epoch, by: Owner, now: Time) {
        self.handle_word(id, epoch, by, End::Abort, now);
    }

    /// Returns the next command to propose at this moment, until there is none.
    pub fn poll_command(&mut self, now: Time) -> Option<Command> {
        if !self.leads {
            return None;
        }
        if let Some((_, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            return self.propose_end(id, now);
        }
        if now < self.next_begin {
            return None;
        }
        self.resting.retain(|_, until| *until > now);
        while let Some(PlannedMove { id, epoch, to }) = self.planned.pop_front() {
            if self.under_way.contains_key(&id) || self.resting.contains_key(&id) {
                continue;
            }
            // Late timers do not add up to a burst.
            self.next_begin = now + self.interval;
            return Some(Command::Move { id, epoch, to });
        }
        None
    }

    /// Returns when [`poll_command`](Self::poll_command) has something to propose, if nothing is
    /// handled before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let begin = (!self.planned.is_empty()).then_some(self.next_begin);
        let due = self.due.first().map(|(due, _)| *due);
        [begin, due].into_iter().flatten().min()
    }

    /// Returns how many slots are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    fn begin(&mut self, id: SlotId, epoch: Epoch, from: Owner, to: Owner, now: Time) {
        self.end(id);
        let due = now + self.limit;
        self.due.insert((due, id));
        let move_ = UnderWay {
            epoch,
            from,
            to,
            end: None,
            due,
        };
        self.under_way.insert(id, move_);
    }

    fn end(&mut self, id: SlotId) -> Option<UnderWay> {
        let ended = self.under_way.remove(&id)?;
        self.due.remove(&(ended.due, id));
        Some(ended)
    }

    fn handle_word(&mut self, id: SlotId, epoch: Epoch, by: Owner, end: End, now: Time) {
        let under_way = self.under_way.get(&id);
        let fits = under_way.is_some_and(|it| it.epoch == epoch && it.from == by);
        // A stop that comes after all is as good as one in time; a turn that is stuck is not worse
        // than what was decided before.
        let first = under_way.is_some_and(|it| it.end.is_none() || end == End::Stopped);
        if fits && first {
            self.decide(id, end, now);
        }
    }

    /// A party of moves is gone for good, in this life.
    fn lose(&mut self, owner: Owner, now: Time) {
        let moves = self.under_way.iter();
        let lost = moves.filter(|(_, it)| it.to == owner || it.from == owner);
        let lost: Vec<SlotId> = lost.map(|(id, _)| *id).collect();
        for id in lost {
            self.decide(id, End::Abort, now);
        }
    }

    fn decide(&mut self, id: SlotId, end: End, now: Time) {
        if let Some(it) = self.under_way.get_mut(&id).filter(|it| it.end != Some(end)) {
            it.end = Some(end);
            self.due.remove(&(it.due, id));
            it.due = now;
            self.due.insert((now, id));
        }
    }

    fn propose_end(&mut self, id: SlotId, now: Time) -> Option<Command> {
        let again = self.again;
        let it = self.under_way.get_mut(&id)?;
        self.due.remove(&(it.due, id));
        it.due = now + again;
        self.due.insert((it.due, id));
        let (epoch, by) = (it.epoch, it.from);
        Some(match it.end.unwrap_or(End::Abort) {
            End::Stopped => Command::Stopped { id, epoch, by },
            End::Abort => Command::Abort { id, epoch },
        })
    }
}

fn interval(moves_per_second: u32) -> Duration {
    Duration::from_secs(1) / moves_per_second.max(1)
}

#[cfg(test)]
mod tests;
