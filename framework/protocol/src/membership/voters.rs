//! Who should vote: how many, which of the members, and what to change next.
//!
//! The plan makes one change at a time and is asked again after each. How many vote follows from the
//! size of the cluster; who does can be chosen by name, see `choosing`. A new voter is a learner
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
    /// What somebody has chosen for it; nothing where the plan decides.
    pub choice: Option<VoterChoice>,
}

/// What somebody has chosen for a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum VoterChoice {
    /// It is to vote, before those for whom nothing is chosen.
    Wanted,
    /// It is not to vote.
    Barred,
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
/// A member that is wanted gets the seat of one for which nothing is chosen; when there are more of
/// them than the size asks for, there are more voters, up to [`VOTERS_MAX`] and never an even number.
/// One that is barred gives its seat up as soon as another one can take it. While it is gone for long,
/// a wanted one is replaced like any other.
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
    // too many, seats of those who are wanted, and last the spread over the zones.
    if view.voters.len() < wanted {
        return view.fill(|it| view.is_preferred(it), SeatChange::Seat);
    }
    if let Some(out) = view.worst_voter(|it| !view.may_stay(it)) {
        if view.voters.len() > wanted {
            return view.unseat(out);
        }
        let swap = |into| SeatChange::Swap { out, into };
        return view.fill(|it| view.is_preferred(it), swap);
    }
    if view.voters.len() > wanted {
        return view.worst_voter(|_| true).and_then(|out| view.unseat(out));
    }
    if let Some(step) = view.prefer().or_else(|| view.spread()) {
        return step;
    }
    let mut learners = candidates.iter().filter(|it| it.is_learner());
    learners.next().map(|it| SeatChange::DropLearner(it.node))
}

impl VoterCandidate {
    pub(super) fn is_learner(&self) -> bool {
        matches!(self.seated, Seated::Learner { .. })
    }

    pub(super) fn is_voter(&self) -> bool {
        self.seated == Seated::Voter
    }

    fn is_wanted(&self) -> bool {
        self.choice == Some(VoterChoice::Wanted)
    }

    /// Whether it may get a seat now.
    pub(super) fn may_take(&self) -> bool {
        self.eligible && self.gone_since.is_none() && self.choice != Some(VoterChoice::Barred)
    }
}

pub(super) struct View<'a> {
    candidates: &'a [VoterCandidate],
    pub(super) voters: Vec<&'a VoterCandidate>,
    /// Voters that may stay, by zone.
    seats: BTreeMap<&'a str, usize>,
    gone_max: Duration,
    now: Time,
}

impl<'a> View<'a> {
    pub(super) fn of(candidates: &'a [VoterCandidate], gone_max: Duration, now: Time) -> Self {
        let voters = candidates.iter().filter(|it| it.is_voter());
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

    /// Returns how many voters there are to be, with what is chosen.
    pub(super) fn wanted(&self) -> usize {
        let may_stay = self.candidates.iter().filter(|it| self.may_stay(it));
        let wanted = self.by_size().max(odd_from(self.chosen()));
        let possible = odd_up_to(may_stay.count()).min(VOTERS_MAX);
        wanted.min(possible).max(1)
    }

    /// Returns how many are wanted, and may have a seat.
    pub(super) fn chosen(&self) -> usize {
        let candidates = self.candidates.iter();
        let chosen = candidates.filter(|it| it.is_wanted() && self.may_stay(it));
        chosen.count()
    }

    /// Returns whether somebody could get a seat now.
    pub(super) fn has_free(&self) -> bool {
        let mut candidates = self.candidates.iter();
        candidates.any(|it| it.may_take() && !it.is_voter())
    }

    /// Returns how many voters the cluster should have by its size. One that is barred belongs to it.
    pub(super) fn by_size(&self) -> usize {
        let eligible = || {
            let candidates = self.candidates.iter();
            candidates.filter(|it| it.eligible && !self.is_long_gone(it))
        };
        let zones: std::collections::BTreeSet<_> = eligible().map(|it| &it.zone).collect();
        voters_wanted(eligible().count(), zones.len())
    }

    pub(super) fn may_stay(&self, candidate: &VoterCandidate) -> bool {
        let is_barred = candidate.choice == Some(VoterChoice::Barred);
        candidate.eligible && !is_barred && !self.is_long_gone(candidate)
    }

    pub(super) fn is_long_gone(&self, candidate: &VoterCandidate) -> bool {
        let gone = candidate.gone_since;
        gone.is_some_and(|at| self.now.saturating_since(at) >= self.gone_max)
    }

    /// Whether it is one of those that get the next seat: of the wanted ones, if there are any.
    fn is_preferred(&self, candidate: &VoterCandidate) -> bool {
        let waits = |it: &VoterCandidate| it.is_wanted() && it.may_take() && !it.is_voter();
        candidate.is_wanted() || !self.candidates.iter().any(waits)
    }

    /// Returns the voter to lose first: one that is gone before one that is there, one that is wanted
    /// last, of the fullest zone, the highest id.
    fn worst_voter(&self, which: impl Fn(&VoterCandidate) -> bool) -> Option<NodeId> {
        let voters = self.voters.iter().filter(|it| which(it));
        let worst = voters.max_by_key(|it| {
            let is_gone = it.gone_since.is_some();
            (is_gone, !it.is_wanted(), self.in_zone(it), it.node)
        });
        worst.map(|it| it.node)
    }

    /// Takes a seat, unless those that are left and there would be no quorum any more.
    fn unseat(&self, out: NodeId) -> Option<SeatChange> {
        let left = || self.voters.iter().filter(|it| it.node != out);
        let there = left().filter(|it| it.gone_since.is_none()).count();
        (there >= quorum(left().count())).then_some(SeatChange::Unseat(out))
    }

    /// Makes the next step towards one more voter among these: a learner in the emptiest zone, then its
    /// seat.
    fn fill(
        &self,
        among: impl Fn(&VoterCandidate) -> bool,
        seat: impl FnOnce(NodeId) -> SeatChange,
    ) -> Option<SeatChange> {
        let open = |it: &&VoterCandidate| it.may_take() && among(it);
        let learners = self.candidates.iter().filter(|it| it.is_learner());
        // A learner that is gone, or should not vote any more, makes room for another one.
        if let Some(lost) = learners.clone().find(|it| !open(it)) {
            return Some(SeatChange::DropLearner(lost.node));
        }
        if let Some(learner) = learners.min_by_key(|it| (self.in_zone(it), it.node)) {
            let ready = learner.seated == Seated::Learner { caught_up: true };
            return ready.then(|| seat(learner.node));
        }
        let free = self.candidates.iter().filter(open);
        let free = free.filter(|it| it.seated == Seated::No);
        let best = free.min_by_key(|it| (self.in_zone(it), it.node));
        best.map(|it| SeatChange::AddLearner(it.node))
    }

    /// Gives a seat to one that is wanted and has none, of one for which nothing is chosen. Returns the next
    /// step, which may be to wait, or nothing if there is no such seat.
    fn prefer(&self) -> Option<Option<SeatChange>> {
        let mut wanted = self.candidates.iter().filter(|it| it.is_wanted());
        wanted.find(|it| it.may_take() && !it.is_voter())?;
        let out = self.worst_voter(|it| !it.is_wanted())?;
        let swap = |into| SeatChange::Swap { out, into };
        Some(self.fill(VoterCandidate::is_wanted, swap))
    }

    /// Moves a seat from the fullest zone to an emptier one, if that makes them more even. Those that are
    /// wanted keep theirs. Returns the same as [`prefer`](Self::prefer).
    fn spread(&self) -> Option<Option<SeatChange>> {
        let fullest = self.seats.values().max()?;
        let is_open = |it: &VoterCandidate| {
            !it.is_voter() && it.may_take() && self.in_zone(it) + 2 <= *fullest
        };
        self.candidates.iter().find(|it| is_open(it))?;
        let out = self.worst_voter(|it| !it.is_wanted() && self.in_zone(it) == *fullest)?;
        // Learners elsewhere would even nothing out.
        Some(self.fill(is_open, |into| SeatChange::Swap { out, into }))
    }

    fn in_zone(&self, candidate: &VoterCandidate) -> usize {
        self.seats
            .get(candidate.zone.as_str())
            .copied()
            .unwrap_or(0)
    }
}

/// Returns how many of so many voters are needed.
pub(super) const fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// Returns the least odd number that is not less.
const fn odd_from(count: usize) -> usize {
    count + (count + 1) % 2
}

/// Returns the greatest odd number that is not more; 0 for 0.
const fn odd_up_to(count: usize) -> usize {
    count.saturating_sub((count + 1) % 2)
}

/// The most voters that a cluster has.
pub const VOTERS_MAX: usize = 5;

/// How long a voter may be gone before its seat goes to another member.
pub const GONE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
pub(super) mod tests;
