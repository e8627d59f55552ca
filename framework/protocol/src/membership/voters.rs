//! Who should vote: how many, which of the members, and what to change next.
//!
//! The plan makes one change at a time and is asked again after each. A new voter is a learner
//! first, until it has caught up, so that a seat is never given to a member that cannot do its part
//! (Ongaro, "Consensus: bridging theory and practice", 2014, section 4.2.1). Only members with a
//! disk may vote. Does not change anything itself. Depends on `id` and `time`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::NodeId;
use crate::time::Time;

/// A member, as the plan of the voters sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VoterCandidate {
    /// Which.
    pub node: NodeId,
    /// Where it stands: what is likely to fail together. Members without a zone share one.
    pub zone: String,
    /// What seat it has.
    pub seated: Seated,
    /// Since when it has been gone, by the leader's clock. Nothing while it is there.
    pub gone_since: Option<Time>,
    /// Whether it may get a seat: it has a disk and is not being drained.
    pub eligible: bool,
}

/// What seat a member has in the control group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Seated {
    /// None: it gets what it needs from the voters.
    No,
    /// It is sent the log and does not vote.
    Learner {
        /// Whether it has nearly all of the log.
        caught_up: bool,
    },
    /// It votes.
    Voter,
}

/// The next change of the control group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SeatChange {
    /// Send the log to this member from now on.
    AddLearner(NodeId),
    /// Send the log to this learner no more.
    DropLearner(NodeId),
    /// Give this learner a seat.
    Seat(NodeId),
    /// Give this learner the seat of that voter, in one change of the group.
    Swap {
        /// Who loses the seat.
        out: NodeId,
        /// Who gets it.
        into: NodeId,
    },
    /// Take the seat of this voter.
    Unseat(NodeId),
}

/// Returns how many voters a cluster should have: 1, 3 or 5.
///
/// One for fewer than three members that may vote, three for three, and five for seven or more, or
/// for five or more in three zones, so that a whole zone and one more may be lost.
#[must_use]
pub fn voters_wanted(eligible: usize, zones: usize) -> usize {
    match eligible {
        0..=2 => 1,
        7.. => 5,
        5.. if zones >= 3 => 5,
        _ => 3,
    }
}

/// Returns the next change of the seats, or nothing when they are as they should be.
///
/// A voter that has been gone for `gone_max` ([`GONE_MAX`] by default) gives its seat to a learner; one
/// that is drained, or may not vote any more, does so at once. A member that is gone for less still
/// counts: a restart moves no seats.
#[must_use]
pub fn plan_voters(
    candidates: &[VoterCandidate],
    gone_max: Duration,
    now: Time,
) -> Option<SeatChange> {
    let view = View::of(candidates, gone_max, now);
    let wanted = view.wanted();
    // The first that applies: seats that are needed, seats of those who should have none, seats
    // too many, and last the spread over the zones.
    if view.voters.len() < wanted {
        return view.fill(SeatChange::Seat);
    }
    if let Some(out) = view.worst_voter(|it| !view.may_stay(it)) {
        if view.voters.len() > wanted {
            return Some(SeatChange::Unseat(out));
        }
        return view.fill(|into| SeatChange::Swap { out, into });
    }
    if view.voters.len() > wanted {
        return view.worst_voter(|_| true).map(SeatChange::Unseat);
    }
    if let Some(step) = view.spread() {
        return step;
    }
    let mut learners = candidates.iter().filter(|it| it.is_learner());
    learners.next().map(|it| SeatChange::DropLearner(it.node))
}

impl VoterCandidate {
    fn is_learner(&self) -> bool {
        matches!(self.seated, Seated::Learner { .. })
    }
}

struct View<'a> {
    candidates: &'a [VoterCandidate],
    voters: Vec<&'a VoterCandidate>,
    /// Voters that may stay, by zone.
    seats: BTreeMap<&'a str, usize>,
    gone_max: Duration,
    now: Time,
}

impl<'a> View<'a> {
    fn of(candidates: &'a [VoterCandidate], gone_max: Duration, now: Time) -> Self {
        let voters = candidates.iter().filter(|it| it.seated == Seated::Voter);
        let mut view = Self {
            candidates,
            voters: voters.collect(),
            seats: BTreeMap::new(),
            gone_max,
            now,
        };
        for candidate in candidates {
            view.seats.entry(&candidate.zone).or_insert(0);
        }
        for voter in view.voters.clone() {
            if view.may_stay(voter) {
                *view.seats.entry(&voter.zone).or_insert(0) += 1;
            }
        }
        view
    }

    fn wanted(&self) -> usize {
        let eligible = || self.candidates.iter().filter(|it| self.may_stay(it));
        let zones: std::collections::BTreeSet<_> = eligible().map(|it| &it.zone).collect();
        voters_wanted(eligible().count(), zones.len())
    }

    fn may_stay(&self, candidate: &VoterCandidate) -> bool {
        let gone = candidate.gone_since;
        let long_gone = gone.is_some_and(|at| self.now.saturating_since(at) >= self.gone_max);
        candidate.eligible && !long_gone
    }

    /// Returns the voter to lose first: one that is gone before one that is there, of the fullest
    /// zone, the highest id.
    fn worst_voter(&self, which: impl Fn(&VoterCandidate) -> bool) -> Option<NodeId> {
        let voters = self.voters.iter().filter(|it| which(it));
        let worst = voters.max_by_key(|it| (it.gone_since.is_some(), self.in_zone(it), it.node));
        worst.map(|it| it.node)
    }

    /// Makes the next step towards one more voter: a learner in the emptiest zone, then its seat.
    fn fill(&self, seat: impl FnOnce(NodeId) -> SeatChange) -> Option<SeatChange> {
        let there = |it: &&VoterCandidate| it.eligible && it.gone_since.is_none();
        let learners = self.candidates.iter().filter(|it| it.is_learner());
        // A learner that is gone, or may not vote any more, makes room for another one.
        if let Some(lost) = learners.clone().find(|it| !there(it)) {
            return Some(SeatChange::DropLearner(lost.node));
        }
        if let Some(learner) = learners.min_by_key(|it| (self.in_zone(it), it.node)) {
            let ready = learner.seated == Seated::Learner { caught_up: true };
            return ready.then(|| seat(learner.node));
        }
        let free = self.candidates.iter().filter(there);
        let free = free.filter(|it| it.seated == Seated::No);
        let best = free.min_by_key(|it| (self.in_zone(it), it.node));
        best.map(|it| SeatChange::AddLearner(it.node))
    }

    /// Moves a seat from the fullest zone to an emptier one, if that makes them more even. Returns the next
    /// step, which may be to wait, or nothing if there is no such seat.
    fn spread(&self) -> Option<Option<SeatChange>> {
        let fullest = self.seats.values().max()?;
        let open = self.candidates.iter().filter(|it| {
            let free = it.seated != Seated::Voter && it.eligible && it.gone_since.is_none();
            free && self.in_zone(it) + 2 <= *fullest
        });
        open.clone().next()?;
        let out = self.worst_voter(|it| self.in_zone(it) == *fullest)?;
        // Learners elsewhere would be taken by `fill` first and even nothing out.
        let zones: Vec<&str> = open.map(|it| it.zone.as_str()).collect();
        let mut learners = self.candidates.iter().filter(|it| it.is_learner());
        if let Some(other) = learners.find(|it| !zones.contains(&it.zone.as_str())) {
            return Some(Some(SeatChange::DropLearner(other.node)));
        }
        Some(self.fill(|into| SeatChange::Swap { out, into }))
    }

    fn in_zone(&self, candidate: &VoterCandidate) -> usize {
        self.seats
            .get(candidate.zone.as_str())
            .copied()
            .unwrap_or(0)
    }
}

/// How long a voter may be gone before its seat goes to another member.
pub const GONE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
