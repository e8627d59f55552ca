//! What is told while this node belongs to a cluster and holds no lease: why, as far as it can see, and what to
//! start.
//!
//! Reads the parts of `driver`, and changes nothing of them.

use std::{collections::BTreeSet, time::Duration};

use callboard_protocol::{
    code::Code,
    id::{DiskId, NodeId},
    slots::{Member, State},
    time::Time,
};

use super::driver::Driver;

/// When it is told next.
#[derive(Debug, Default)]
pub(super) struct Unleased {
    next: Option<(Time, Duration)>,
}

impl Unleased {
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.next.map(|(at, _)| at)
    }

    /// Takes in whether there is something to tell; returns whether it is due.
    fn handle(&mut self, waits: bool, now: Time) -> bool {
        if !waits {
            self.next = None;
            return false;
        }
        let (at, _) = *self.next.get_or_insert((now + FIRST_AFTER, AGAIN_MIN));
        now >= at
    }

    fn told(&mut self, now: Time) {
        self.next = self
            .next
            .map(|(_, wait)| (now + wait, (wait * 2).min(AGAIN_MAX)));
    }

    /// Not all of it is known at this moment.
    fn defer(&mut self, now: Time) {
        self.next = self.next.map(|(_, wait)| (now + SHORTLY, wait));
    }
}

impl Driver {
    pub(super) fn step_unleased(&mut self, now: Time) {
        let is_bound = self.forming.cluster().is_some() && !self.parting.has_ended();
        let is_explained = self.status.borrow().trouble.is_some();
        let waits = is_bound && !is_explained && self.holding.lease_until(now).is_none();
        let is_due = self.unleased.handle(waits, now);
        // The names of the voters are with the group, which may be away with its disk.
        let is_away = self
            .seat
            .as_ref()
            .is_some_and(|seat| seat.state().is_none());
        if is_due && is_away {
            self.unleased.defer(now);
        } else if is_due {
            self.unleased.told(now);
            let detail = self.why_unleased();
            let code = Code::NotJoined.text();
            tracing::warn!(code, me = %self.owner, %detail, "holds no lease in its cluster");
            self.status.send_modify(|it| it.unleased = Some(detail));
        }
        if !waits {
            self.status
                .send_if_modified(|it| it.unleased.take().is_some());
        }
    }

    /// Says why there is no lease, as far as this node can see.
    pub(super) fn why_unleased(&self) -> String {
        let voters = self.status.borrow().voters.clone();
        if voters.is_empty() {
            return self.why_not_let_in();
        }
        let (reached, missing): (BTreeSet<DiskId>, BTreeSet<DiskId>) =
            voters.iter().copied().partition(|disk| self.reaches(*disk));
        let (all, needed) = (voters.len(), voters.len() / 2 + 1);
        let counted = format!("{} of {all} voters are reached", reached.len());
        if reached.len() >= needed {
            return format!(
                "{counted}, which is enough, but no leader has granted a lease: {}; look at the logs of the voters",
                self.leader_text()
            );
        }
        let state = self.seat.as_ref().and_then(|seat| seat.state());
        let mut missing: Vec<_> = missing.iter().map(|disk| voter(*disk, state)).collect();
        missing.sort();
        format!(
            "{counted}, and {needed} are needed; not reached: {}; start them, or see what keeps their links down",
            missing.join(", ")
        )
    }

    fn why_not_let_in(&self) -> String {
        let linked: Vec<_> = self
            .peers
            .links()
            .map(|it| it.peer().name.to_string())
            .collect();
        let linked = match &linked[..] {
            [] => "no node of the cluster is linked".to_owned(),
            linked => format!("linked with {}", linked.join(", ")),
        };
        format!(
            "{}; {linked}; a leader needs more than half of the voters: start them, and see the log of one of them",
            self.leader_text()
        )
    }

    fn leader_text(&self) -> String {
        let Some(leader) = self.leader else {
            return "no node is known to lead".to_owned();
        };
        let linked = self.peers.link(leader.node);
        match linked {
            Some(link) => format!("{} leads, and has not let it in yet", link.peer().name),
            None if leader.node == self.owner.node => "this node leads".to_owned(),
            None => format!(
                "{}, which led last, is not linked",
                self.name_of(leader.node)
            ),
        }
    }

    fn name_of(&self, node: NodeId) -> String {
        let members = self.ownership.members();
        let named = members.into_iter().find(|(it, _)| it.id() == node);
        named.map_or_else(|| format!("node {node}"), |(it, _)| it.name.to_string())
    }

    fn reaches(&self, disk: DiskId) -> bool {
        self.disk == Some(disk) || self.peers.node_with(disk).is_some()
    }
}

/// Names a voter, with where it was last.
fn voter(disk: DiskId, state: Option<&State>) -> String {
    let mut members = state.into_iter().flat_map(State::members);
    let known = members.find(|(member, _)| member.disk == Some(disk));
    match known.map(|(member, _)| member) {
        Some(Member { name, addr, .. }) => format!("{name} (last at {addr})"),
        None => format!("the one with disk {disk}"),
    }
}

/// Longer than it takes to join, or to elect another leader, by most profiles.
const FIRST_AFTER: Duration = Duration::from_secs(5);

/// A group is seldom away for longer.
const SHORTLY: Duration = Duration::from_millis(20);

const AGAIN_MIN: Duration = Duration::from_secs(60);

const AGAIN_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_after_seconds_and_then_seldom() {
        let mut unleased = Unleased::default();
        let told: Vec<u64> = (0..1000)
            .filter(|second| {
                let now = Time::from_millis(second * 1000);
                let is_due = unleased.handle(true, now);
                if is_due {
                    unleased.told(now);
                }
                is_due
            })
            .collect();
        assert_eq!(told, [5, 65, 185, 425, 905]);
        assert!(!unleased.handle(false, Time::from_millis(1_000_000)));
        assert_eq!(unleased.next_deadline(), None);
        assert!(!unleased.handle(true, Time::from_millis(1_001_000)));
        assert!(unleased.handle(true, Time::from_millis(1_006_000)));
        unleased.defer(Time::from_millis(1_006_000));
        assert!(!unleased.handle(true, Time::from_millis(1_006_000)));
        assert!(unleased.handle(true, Time::from_millis(1_006_100)));
    }
}
