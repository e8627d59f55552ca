//! The old owner's side of a move: stops, and hands over what waits.
//!
//! From the moment it sees the move, no turn starts. Queued calls are answered `Moved`: they have
//! not run, and may be made again. Queued sends, which nobody would make again, are forwarded to
//! the target with a sequence, and again until it has them. When the last turn has ended and the
//! target has all sends, it says that it has stopped, and from then on refuses what still comes: a
//! send that was forwarded after that could overtake a later one of the same sender. What was
//! forwarded is kept until the move has ended, as the slot may come back. Does not send, and runs
//! no turns. Depends on the values of `slots` and on `time`.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SlotId;
use super::member::Owner;
use super::table::{Entry, Epoch};
use crate::time::Time;

/// Numbers the sends that are forwarded in one move, from 0 on without gaps.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct SequenceNumber(pub u64);

/// What the old owner asks its driver to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum HandoffAction<C, S> {
    /// Answer this call with `Moved`.
    AnswerMoved(C),
    /// Forward this send to the target.
    Forward {
        /// Its place among those of this move.
        sequence: SequenceNumber,
        /// The send.
        send: S,
    },
    /// A turn runs over its limit: drop it at its next await.
    DropTurns,
    /// Tell the leader that this node has stopped.
    ReportStopped,
    /// Tell the leader that a turn does not end.
    ReportStuck,
}

/// What became of a move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<S> {
    /// It is under way.
    Pending,
    /// The slot has, or had, another owner. What was kept is dropped: the target has it.
    Gone,
    /// The slot is this node's again, under this epoch. The sends have not run; they are queued
    /// again, in this order, before anything new.
    Back {
        /// The new epoch.
        epoch: Epoch,
        /// The sends, in the order in which they came.
        sends: Vec<S>,
    },
}

/// One slot on its way from this node. `C` is a queued call, `S` a queued send.
#[derive(Debug)]
pub struct Handoff<C, S> {
    id: SlotId,
    me: Owner,
    epoch: Epoch,
    turns: usize,
    calls: VecDeque<C>,
    sends: Vec<S>,
    /// How many sends the target has.
    acknowledged: usize,
    /// How many were forwarded since the last time that all were.
    forwarded: usize,
    forward_again_at: Time,
    report_at: Time,
    drop_at: Option<Time>,
    stuck_at: Time,
    again: Duration,
    stopped: bool,
}

impl<C, S: Clone> Handoff<C, S> {
    /// Begins to hand over a slot, as the entry says that this node sees.
    ///
    /// `turns` is how many run; `again` the time after which a message is sent again; a turn is to
    /// be dropped after `turn_limit`, and stuck if it still runs after twice that.
    #[must_use]
    pub fn new(
        (id, entry): (SlotId, &Entry),
        me: Owner,
        turns: usize,
        (again, turn_limit): (Duration, Duration),
        now: Time,
    ) -> Self {
        Self {
            id,
            me,
            epoch: entry.epoch,
            turns,
            calls: VecDeque::new(),
            sends: Vec::new(),
            acknowledged: 0,
            forwarded: 0,
            forward_again_at: Time::MAX,
            report_at: now,
            drop_at: Some(now + turn_limit),
            stuck_at: now + turn_limit * 2,
            again,
            stopped: false,
        }
    }

    /// A call waits, or has come. It will be answered `Moved`.
    pub fn handle_call(&mut self, call: C) {
        self.calls.push_back(call);
    }

    /// A send waits, or has come. It will be forwarded.
    ///
    /// # Errors
    ///
    /// The send, when this node has stopped or [`FORWARDED_MAX`] are kept. It is refused.
    pub fn handle_send(&mut self, send: S) -> Result<(), S> {
        if self.stopped || self.sends.len() >= FORWARDED_MAX {
            return Err(send);
        }
        self.sends.push(send);
        Ok(())
    }

    /// A turn has ended.
    pub fn handle_turn_ended(&mut self) {
        self.turns = self.turns.saturating_sub(1);
    }

    /// The target has all sends before this number.
    pub fn handle_acknowledged(&mut self, before: SequenceNumber) {
        let before = usize::try_from(before.0).unwrap_or(usize::MAX);
        // One that claims more than was forwarded is not believed.
        if before <= self.forwarded {
            self.acknowledged = self.acknowledged.max(before);
        }
    }

    /// The target does not take what it lacks: it is given up, and the stop waits for it no more. It is
    /// kept all the same, as the slot may come back.
    pub fn handle_given_up(&mut self) {
        self.acknowledged = self.sends.len();
        self.forwarded = self.sends.len();
    }

    /// The view of this node has changed: returns what became of the move.
    pub fn handle_entry(&mut self, entry: &Entry) -> Outcome<S> {
        if entry.epoch <= self.epoch && entry.moving.is_some() {
            return Outcome::Pending;
        }
        // One epoch on, and this node's: nobody else has had it. Any later epoch of this node's comes
        // after another owner, who has run what was forwarded.
        if entry.owner == Some(self.me) && entry.epoch.0 == self.epoch.0 + 1 {
            let (epoch, sends) = (entry.epoch, std::mem::take(&mut self.sends));
            return Outcome::Back { epoch, sends };
        }
        Outcome::Gone
    }

    /// Returns the next thing to do at this moment, until there is none.
    pub fn poll_action(&mut self, now: Time) -> Option<HandoffAction<C, S>> {
        if let Some(call) = self.calls.pop_front() {
            return Some(HandoffAction::AnswerMoved(call));
        }
        if now >= self.forward_again_at {
            // From the first one that the target does not have: the link may have been lost.
            self.forwarded = self.acknowledged;
            self.forward_again_at = Time::MAX;
        }
        if let Some(send) = self.sends.get(self.forwarded) {
            let sequence = SequenceNumber(self.forwarded as u64);
            self.forwarded += 1;
            self.forward_again_at = now + self.again;
            let send = send.clone();
            return Some(HandoffAction::Forward { sequence, send });
        }
        if self.acknowledged == self.sends.len() {
            self.forward_again_at = Time::MAX;
        }
        if self.turns > 0 && self.drop_at.is_some_and(|at| now >= at) {
            self.drop_at = None;
            return Some(HandoffAction::DropTurns);
        }
        let done = self.is_done();
        let stuck = self.turns > 0 && now >= self.stuck_at;
        if (done || stuck) && now >= self.report_at {
            self.report_at = now + self.again;
            // Once said, it is true: nothing is taken on any more.
            self.stopped = self.stopped || done;
            return Some(if done {
                HandoffAction::ReportStopped
            } else {
                HandoffAction::ReportStuck
            });
        }
        None
    }

    /// Returns when [`poll_action`](Self::poll_action) has something to do, if nothing is handled
    /// before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        if !self.calls.is_empty() || self.forwarded < self.sends.len() {
            return Some(Time::ZERO);
        }
        if self.acknowledged < self.sends.len() {
            let turns = [self.drop_at, Some(self.stuck_at.max(self.report_at))];
            let turns = turns.into_iter().flatten().filter(|_| self.turns > 0).min();
            return Some(turns.map_or(self.forward_again_at, |at| at.min(self.forward_again_at)));
        }
        if self.turns == 0 {
            return Some(self.report_at);
        }
        self.drop_at.or(Some(self.stuck_at.max(self.report_at)))
    }

    /// Returns whether no turn runs and the target has all sends: what is left is to say so.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.turns == 0 && self.acknowledged == self.sends.len()
    }

    /// Returns whether what the target lacks is forwarded again at this moment.
    #[must_use]
    pub fn is_to_forward_again(&self, now: Time) -> bool {
        now >= self.forward_again_at
    }

    /// Returns which slot it is.
    #[must_use]
    pub const fn id(&self) -> SlotId {
        self.id
    }

    /// Returns the epoch under which this node owns it.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// The most sends that are kept for the target of one move.
pub const FORWARDED_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::samples;

    type Actions = Vec<HandoffAction<u32, u32>>;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn handoff(turns: usize) -> Handoff<u32, u32> {
        let entry = Entry {
            owner: Some(samples::owner(1)),
            epoch: Epoch(5),
            moving: Some(samples::owner(2)),
            changed: super::super::Version(9),
        };
        let times = (Duration::from_millis(100), Duration::from_millis(1000));
        Handoff::new(
            (samples::slot(3), &entry),
            samples::owner(1),
            turns,
            times,
            at(0),
        )
    }

    fn actions(handoff: &mut Handoff<u32, u32>, now: u64) -> Actions {
        std::iter::from_fn(|| handoff.poll_action(at(now))).collect()
    }

    fn forward(sequence: u64, send: u32) -> HandoffAction<u32, u32> {
        let sequence = SequenceNumber(sequence);
        HandoffAction::Forward { sequence, send }
    }

    #[test]
    fn it_stops_when_the_turn_has_ended_and_the_target_has_the_sends() {
        let mut handoff = handoff(1);
        handoff.handle_call(70);
        handoff.handle_send(80).expect("taken");
        handoff.handle_send(81).expect("taken");
        let expected = [
            HandoffAction::AnswerMoved(70),
            forward(0, 80),
            forward(1, 81),
        ];
        assert_eq!(actions(&mut handoff, 0), expected);
        handoff.handle_turn_ended();
        assert_eq!(actions(&mut handoff, 10), []);
        handoff.handle_acknowledged(SequenceNumber(1));
        assert_eq!(actions(&mut handoff, 20), []);
        assert!(!handoff.is_done());
        handoff.handle_acknowledged(SequenceNumber(2));
        assert!(handoff.is_done());
        assert_eq!(actions(&mut handoff, 30), [HandoffAction::ReportStopped]);
        assert_eq!(handoff.handle_send(82), Err(82), "it could overtake");
        handoff.handle_call(71);
        assert_eq!(actions(&mut handoff, 40), [HandoffAction::AnswerMoved(71)]);
        // The leader may not have heard it.
        assert_eq!(handoff.next_deadline(), Some(at(130)));
        assert_eq!(actions(&mut handoff, 130), [HandoffAction::ReportStopped]);
    }

    #[test]
    fn sends_are_forwarded_again_from_the_first_that_the_target_lacks() {
        let mut handoff = handoff(0);
        for send in [80, 81, 82] {
            handoff.handle_send(send).expect("taken");
        }
        assert_eq!(actions(&mut handoff, 0).len(), 3);
        handoff.handle_acknowledged(SequenceNumber(1));
        assert_eq!(handoff.next_deadline(), Some(at(100)));
        assert_eq!(actions(&mut handoff, 100), [forward(1, 81), forward(2, 82)]);
        handoff.handle_acknowledged(SequenceNumber(9));
        assert_eq!(actions(&mut handoff, 110), [], "more than there is");
    }

    #[test]
    fn what_the_target_does_not_take_holds_up_the_stop_until_it_is_given_up() {
        let mut handoff = handoff(0);
        handoff.handle_send(80).expect("taken");
        assert_eq!(actions(&mut handoff, 0), [forward(0, 80)]);
        assert!(!handoff.is_to_forward_again(at(99)));
        assert!(handoff.is_to_forward_again(at(100)));
        assert_eq!(actions(&mut handoff, 100), [forward(0, 80)]);
        handoff.handle_given_up();
        assert_eq!(actions(&mut handoff, 300), [HandoffAction::ReportStopped]);
        let back = Entry {
            owner: Some(samples::owner(1)),
            epoch: Epoch(6),
            moving: None,
            changed: super::super::Version(10),
        };
        let (epoch, sends) = (Epoch(6), vec![80]);
        assert_eq!(handoff.handle_entry(&back), Outcome::Back { epoch, sends });
    }

    #[test]
    fn a_turn_over_its_limit_is_dropped_and_one_that_never_yields_is_stuck() {
        let mut handoff = handoff(1);
        assert_eq!(handoff.next_deadline(), Some(at(1000)));
        assert_eq!(actions(&mut handoff, 1000), [HandoffAction::DropTurns]);
        assert_eq!(handoff.next_deadline(), Some(at(2000)));
        assert_eq!(actions(&mut handoff, 2000), [HandoffAction::ReportStuck]);
        assert_eq!(actions(&mut handoff, 2100), [HandoffAction::ReportStuck]);
        handoff.handle_turn_ended();
        assert_eq!(actions(&mut handoff, 2200), [HandoffAction::ReportStopped]);
    }

    #[test]
    fn a_slot_that_comes_back_brings_its_sends() {
        let mut handoff = handoff(0);
        handoff.handle_send(80).expect("taken");
        actions(&mut handoff, 0);
        handoff.handle_acknowledged(SequenceNumber(1));
        let mut entry = Entry {
            owner: Some(samples::owner(1)),
            epoch: Epoch(5),
            moving: Some(samples::owner(2)),
            changed: super::super::Version(9),
        };
        assert_eq!(handoff.handle_entry(&entry), Outcome::Pending);
        (entry.epoch, entry.moving) = (Epoch(6), None);
        let (epoch, sends) = (Epoch(6), vec![80]);
        assert_eq!(handoff.handle_entry(&entry), Outcome::Back { epoch, sends });
        entry.owner = Some(samples::owner(2));
        assert_eq!(handoff.handle_entry(&entry), Outcome::Gone);
        // It was the target's in between, which has run the sends.
        (entry.owner, entry.epoch) = (Some(samples::owner(1)), Epoch(7));
        assert_eq!(handoff.handle_entry(&entry), Outcome::Gone);
    }

    #[test]
    fn what_is_kept_for_the_target_is_bounded() {
        let mut handoff = handoff(0);
        let taken = (0..5000).filter(|send| handoff.handle_send(*send).is_ok());
        assert_eq!(taken.count(), FORWARDED_MAX);
    }
}
