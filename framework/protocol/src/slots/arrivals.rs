//! The target's side of a move: keeps what comes until the slot is its own.
//!
//! Two kinds of messages come before that: sends which the old owner forwards, and calls and sends
//! of those who know already where the slot goes. Forwarded ones run first, as they were first;
//! their sequence says which have come before, so none runs twice. Everything is bounded. Does not
//! run anything. Depends on the values of `slots`.

use super::SlotId;
use super::handoff::SequenceNumber;
use super::member::Owner;
use super::table::{Entry, Epoch};

/// A message that waits for the slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Parked<C, S> {
    /// A call.
    Call(C),
    /// A send.
    Send(S),
}

/// What the target is asked to do when the move has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ArrivalsAction<C, S> {
    /// The slot is this node's: first these sends, then these messages, each in its order. If it is on its way
    /// again, they go on with it.
    Start {
        /// The epoch under which it is owned.
        epoch: Epoch,
        /// What the old owner has forwarded.
        forwarded: Vec<S>,
        /// What came from elsewhere.
        parked: Vec<Parked<C, S>>,
    },
    /// The slot is not coming. Calls are answered `Moved`, sends are refused; what was forwarded
    /// is the old owner's.
    Drop {
        /// What came from elsewhere.
        parked: Vec<Parked<C, S>>,
    },
}

/// One slot on its way to this node.
#[derive(Debug)]
pub struct Arrivals<C, S> {
    id: SlotId,
    me: Owner,
    from: Owner,
    epoch: Epoch,
    forwarded: Vec<S>,
    parked: Vec<Parked<C, S>>,
    parked_max: usize,
}

impl<C, S> Arrivals<C, S> {
    /// Begins to wait for a slot that moves from this owner, under this epoch of its.
    ///
    /// At most `parked_max` messages of others are kept.
    #[must_use]
    pub fn new(id: SlotId, me: Owner, from: Owner, epoch: Epoch, parked_max: usize) -> Self {
        Self {
            id,
            me,
            from,
            epoch,
            forwarded: Vec::new(),
            parked: Vec::new(),
            parked_max,
        }
    }

    /// The old owner has forwarded a send. Returns the number before which all are here, for its
    /// acknowledgement; nothing when it is of another move.
    ///
    /// A number that was here before is not taken again, and one after a gap not yet.
    pub fn handle_forwarded(
        &mut self,
        from: Owner,
        epoch: Epoch,
        sequence: SequenceNumber,
        send: S,
    ) -> Option<SequenceNumber> {
        if from != self.from || epoch != self.epoch {
            return None;
        }
        let next = self.forwarded.len() as u64;
        if sequence.0 != next || self.forwarded.len() >= super::handoff::FORWARDED_MAX {
            return Some(SequenceNumber(next));
        }
        self.forwarded.push(send);
        Some(SequenceNumber(next + 1))
    }

    /// A message has come from somebody else.
    ///
    /// # Errors
    ///
    /// The message, when as many are kept as may be. It is refused, and has not run.
    pub fn handle_message(&mut self, message: Parked<C, S>) -> Result<(), Parked<C, S>> {
        if self.parked.len() >= self.parked_max {
            return Err(message);
        }
        self.parked.push(message);
        Ok(())
    }

    /// The view of this node has changed: returns what to do, if the move has ended.
    pub fn handle_entry(&mut self, entry: &Entry) -> Option<ArrivalsAction<C, S>> {
        if entry.epoch <= self.epoch && entry.moving == Some(self.me) {
            return None;
        }
        let parked = std::mem::take(&mut self.parked);
        let forwarded = std::mem::take(&mut self.forwarded);
        // It may be on its way again by now: then what came goes on with it.
        let has_come = entry.owner == Some(self.me) && entry.epoch > self.epoch;
        if !has_come {
            return Some(ArrivalsAction::Drop { parked });
        }
        // One epoch on is the end of this very move. If it is more, the slot was elsewhere in
        // between, and what was forwarded went back with it.
        let direct = entry.epoch.0 == self.epoch.0 + 1;
        Some(ArrivalsAction::Start {
            epoch: entry.epoch,
            forwarded: if direct { forwarded } else { Vec::new() },
            parked,
        })
    }

    /// Returns which slot it is.
    #[must_use]
    pub const fn id(&self) -> SlotId {
        self.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::{Version, samples};

    fn arrivals() -> Arrivals<u32, u32> {
        Arrivals::new(
            samples::slot(3),
            samples::owner(2),
            samples::owner(1),
            Epoch(5),
            2,
        )
    }

    fn entry(owner: u64, epoch: u64, moving: Option<u64>) -> Entry {
        Entry {
            owner: Some(samples::owner(owner)),
            epoch: Epoch(epoch),
            moving: moving.map(samples::owner),
            changed: Version(1),
        }
    }

    fn forwarded(arrivals: &mut Arrivals<u32, u32>, sequence: u64, send: u32) -> Option<u64> {
        let (from, epoch) = (samples::owner(1), Epoch(5));
        let acknowledged = arrivals.handle_forwarded(from, epoch, SequenceNumber(sequence), send);
        acknowledged.map(|it| it.0)
    }

    #[test]
    fn forwarded_sends_run_first_and_once() {
        let mut arrivals = arrivals();
        arrivals.handle_message(Parked::Send(90)).expect("room");
        assert_eq!(forwarded(&mut arrivals, 0, 80), Some(1));
        assert_eq!(forwarded(&mut arrivals, 0, 80), Some(1), "doubled");
        assert_eq!(forwarded(&mut arrivals, 2, 82), Some(1), "after a gap");
        assert_eq!(forwarded(&mut arrivals, 1, 81), Some(2));
        arrivals.handle_message(Parked::Call(91)).expect("room");
        assert_eq!(arrivals.handle_entry(&entry(1, 5, Some(2))), None);
        let start = ArrivalsAction::Start {
            epoch: Epoch(6),
            forwarded: vec![80, 81],
            parked: vec![Parked::Send(90), Parked::Call(91)],
        };
        assert_eq!(arrivals.handle_entry(&entry(2, 6, None)), Some(start));
    }

    #[test]
    fn a_slot_that_does_not_come_gives_the_messages_back() {
        let mut arrivals = arrivals();
        forwarded(&mut arrivals, 0, 80);
        arrivals.handle_message(Parked::Call(90)).expect("room");
        let parked = vec![Parked::Call(90)];
        let drop = ArrivalsAction::Drop { parked };
        assert_eq!(arrivals.handle_entry(&entry(1, 6, None)), Some(drop));
    }

    #[test]
    fn what_came_is_not_lost_with_a_slot_that_goes_on_at_once() {
        let mut arrivals = arrivals();
        forwarded(&mut arrivals, 0, 80);
        let start = ArrivalsAction::Start {
            epoch: Epoch(6),
            forwarded: vec![80],
            parked: vec![],
        };
        // The two changes were heard of together.
        assert_eq!(arrivals.handle_entry(&entry(2, 6, Some(1))), Some(start));
    }

    #[test]
    fn what_went_back_with_the_slot_does_not_run_here_when_it_comes_again() {
        let mut arrivals = arrivals();
        forwarded(&mut arrivals, 0, 80);
        let start = ArrivalsAction::Start {
            epoch: Epoch(8),
            forwarded: vec![],
            parked: vec![],
        };
        assert_eq!(arrivals.handle_entry(&entry(2, 8, None)), Some(start));
    }

    #[test]
    fn messages_of_other_moves_and_too_many_are_refused() {
        let mut arrivals = arrivals();
        let (stranger, old) = (samples::owner(9), Epoch(4));
        let first = SequenceNumber(0);
        assert_eq!(
            arrivals.handle_forwarded(stranger, Epoch(5), first, 1),
            None
        );
        assert_eq!(
            arrivals.handle_forwarded(samples::owner(1), old, first, 1),
            None
        );
        for _ in 0..2 {
            arrivals.handle_message(Parked::Call(1)).expect("room");
        }
        let full = arrivals.handle_message(Parked::Call(2));
        assert_eq!(full, Err(Parked::Call(2)));
    }
}
