//! Who votes: carries out the plan of [`plan_voters`], a change at a time.
//!
//! The members of the control group are disks; the plan is about nodes. What the plan is made from is
//! the state, the group, and who holds a lease. Depends on `driver` and `leading`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use callboard_protocol::{
    id::{DiskId, NodeId},
    membership::{SeatChange, Seated, VoterCandidate, plan_voters},
    slots::{Command, Member, Standing, State},
    time::Time,
};

use super::driver::Driver;
use crate::control::{Change, Group};

/// What the leader keeps in mind of the voters.
#[derive(Debug)]
pub(super) struct Voting {
    /// After what time a voter that is gone loses its seat.
    pub(super) gone_max: Duration,
    plan_at: Time,
    /// Since when members have been gone.
    gone: BTreeMap<NodeId, Time>,
    /// Since when disks of no member have had a seat.
    strays: BTreeMap<DiskId, Time>,
}

impl Voting {
    pub(super) fn new(gone_max: Duration) -> Self {
        Self {
            gone_max,
            plan_at: Time::ZERO,
            gone: BTreeMap::new(),
            strays: BTreeMap::new(),
        }
    }

    /// The members of the group have changed, or who leads it.
    pub(super) fn handle_changed(&mut self, now: Time) {
        self.plan_at = self.plan_at.min(now);
    }

    pub(super) fn next_deadline(&self) -> Option<Time> {
        Some(self.plan_at)
    }
}

impl Driver {
    /// Makes the next change of the seats, if one is due; returns whether the group was told.
    pub(super) fn seat_voters(&mut self, group: &mut Group, now: Time) -> bool {
        if now < self.leading.voting.plan_at {
            return false;
        }
        let disks = disks(group.state());
        self.note_gone(group.state(), now);
        let candidates = self.candidates(group, &disks);
        let mut was_told = self.seat_state(group, &disks);
        let gone_max = self.leading.voting.gone_max;
        let planned = plan_voters(&candidates, gone_max, now);
        self.leading.voting.plan_at = now + next_plan(&candidates, planned.is_some());
        let change = match planned {
            Some(change) => self.change_for(change, &disks, group),
            None => self.stray(group, &disks, now).map(Change::Removed),
        };
        if let Some(change) = change {
            was_told |= group.change(change).is_ok();
        }
        was_told
    }

    /// Returns which node has a disk: by the state, or as the node itself says.
    pub(super) fn node_of(&self, disk: DiskId, state: &State) -> Option<NodeId> {
        if self.disk == Some(disk) {
            return Some(self.owner.node);
        }
        let mut members = state.members();
        let member = members.find(|(member, _)| member.disk == Some(disk));
        let known = member.map(|(member, _)| member.id());
        known.or_else(|| self.peers.node_with(disk))
    }

    /// Notes who is gone: without a lease, or of those who keep a log without that.
    pub(super) fn note_gone(&mut self, state: &State, now: Time) {
        let leading = &mut self.leading;
        for (member, _) in state.members() {
            let node = member.id();
            let has_log = member.disk.is_none() || !self.peers.has_no_log(node);
            if has_log && leading.leases.is_alive(node, member.incarnation) {
                leading.voting.gone.remove(&node);
            } else {
                leading.voting.gone.entry(node).or_insert(now);
            }
        }
    }

    pub(super) fn candidates(
        &self,
        group: &Group,
        disks: &BTreeMap<NodeId, DiskId>,
    ) -> Vec<VoterCandidate> {
        let (voters, learners) = (group.voters(), group.learners());
        let members = group.state().members();
        let candidates = members.map(|(member, standing)| {
            let node = member.id();
            let disk = disks.get(&node).copied();
            let seated = match disk {
                Some(disk) if voters.contains(&disk) => Seated::Voter,
                Some(disk) if learners.contains(&disk) => Seated::Learner {
                    caught_up: group.has_caught_up(disk),
                },
                _ => Seated::No,
            };
            VoterCandidate {
                node,
                zone: member.zone.clone(),
                seated,
                gone_since: self.leading.voting.gone.get(&node).copied(),
                eligible: self.why_no_voter(member, standing).is_none()
                    && (seated == Seated::Voter || !self.cannot_read(group.state(), node)),
                choice: group.state().choices().and_then(|it| it.of(node)),
            }
        });
        candidates.collect()
    }

    /// Returns why a member may not vote, or nothing when it may.
    pub(super) fn why_no_voter(&self, member: &Member, standing: Standing) -> Option<&'static str> {
        if member.disk.is_none() {
            Some("it has no data folder")
        } else if standing == Standing::Draining {
            Some("it is being drained")
        } else if self.peers.has_no_log(member.id()) {
            Some("its disk fails, see its log")
        } else {
            None
        }
    }

    /// Returns whether a node is known to be of a version that does not understand this state.
    fn cannot_read(&self, state: &State, node: NodeId) -> bool {
        state.choices().is_some() && self.peers.is_outdated(node)
    }

    fn change_for(
        &self,
        change: SeatChange,
        disks: &BTreeMap<NodeId, DiskId>,
        group: &mut Group,
    ) -> Option<Change> {
        let disk = |node| disks.get(&node).copied();
        Some(match change {
            SeatChange::AddLearner(node) => Change::Learner(disk(node)?),
            SeatChange::DropLearner(node) => Change::Removed(disk(node)?),
            // Who loses the seat is the plan's next change.
            SeatChange::Seat(node) | SeatChange::Swap { into: node, .. } => {
                Change::Voter(disk(node)?)
            }
            SeatChange::Unseat(node) if node == self.owner.node => {
                // A leader is not taken out of its own group: another one does that.
                let next = self.successor(group)?;
                drop(group.hand_over(next));
                return None;
            }
            SeatChange::Unseat(node) => Change::Removed(disk(node)?),
            _ => return None,
        })
    }

    /// Writes who votes into the state, where it follows the group.
    fn seat_state(&self, group: &mut Group, disks: &BTreeMap<NodeId, DiskId>) -> bool {
        let voters = group.voters();
        let seats = disks.iter().filter(|(_, disk)| voters.contains(disk));
        let seats: BTreeMap<NodeId, DiskId> = seats.map(|(node, disk)| (*node, *disk)).collect();
        let differs = !seats.is_empty() && *group.state().seats() != seats;
        differs && group.propose(&Command::Seats(seats)).is_ok()
    }

    /// Returns a disk that has had a seat for a minute and is no member's: the node that had it has
    /// lost it.
    fn stray(
        &mut self,
        group: &Group,
        disks: &BTreeMap<NodeId, DiskId>,
        now: Time,
    ) -> Option<DiskId> {
        let known: BTreeSet<DiskId> = disks.values().copied().collect();
        let own = self.disk;
        let seated = group.voters().into_iter().chain(group.learners());
        let seen: BTreeSet<DiskId> = seated
            .filter(|disk| !known.contains(disk) && Some(*disk) != own)
            .collect();
        let gone_max = self.leading.voting.gone_max;
        let strays = &mut self.leading.voting.strays;
        strays.retain(|disk, _| seen.contains(disk));
        for disk in seen {
            strays.entry(disk).or_insert(now);
        }
        let mut gone = strays.iter();
        let gone = gone.find(|(_, since)| now.saturating_since(**since) >= gone_max);
        gone.map(|(disk, _)| *disk)
    }
}

/// Returns the disks of the members that have one.
pub(super) fn disks(state: &State) -> BTreeMap<NodeId, DiskId> {
    let members = state.members();
    let with_disk = members.filter_map(|(member, _)| Some((member.id(), member.disk?)));
    with_disk.collect()
}

/// Returns after what time the plan is made again. While a learner catches up nobody says when it has,
/// and until it votes the loss of one more node may stop the group.
fn next_plan(candidates: &[VoterCandidate], changes: bool) -> Duration {
    let is_learner = |it: &VoterCandidate| matches!(it.seated, Seated::Learner { .. });
    match changes || candidates.iter().any(is_learner) {
        true => PLAN_SOON,
        false => PLAN_EVERY,
    }
}

/// How often the plan is made while nothing happens.
const PLAN_EVERY: Duration = Duration::from_secs(1);

/// And while seats change.
const PLAN_SOON: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_made_soon_again_while_seats_change() {
        let mut candidate = VoterCandidate {
            node: NodeId(1),
            zone: String::new(),
            seated: Seated::Voter,
            gone_since: None,
            eligible: true,
            choice: None,
        };
        assert_eq!(next_plan(&[candidate.clone()], false), PLAN_EVERY);
        assert_eq!(next_plan(&[candidate.clone()], true), PLAN_SOON);
        candidate.seated = Seated::Learner { caught_up: false };
        assert_eq!(next_plan(&[candidate], false), PLAN_SOON);
    }
}
