//! What the leader tells the members: up to which version each of them has been told.
//!
//! Decides only; deltas are made and sent in `leading`. A lane keeps the order, so a renewal that
//! names an older version than was told may have crossed the delta on its way: it says that
//! something was lost only if there was time enough to take the delta in. Reads no clock.

use std::{collections::BTreeMap, time::Duration};

use callboard_protocol::{id::NodeId, slots::Version, time::Time};

/// Up to where the members have been told.
#[derive(Debug)]
pub(super) struct Telling {
    told: BTreeMap<NodeId, Told>,
    /// How long a delta may take.
    patience: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    version: Version,
    /// When it was told last; before that nothing can have been lost.
    at: Time,
}

impl Telling {
    /// Makes one that knows of nobody; a delta takes no longer than `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            told: BTreeMap::new(),
            patience,
        }
    }

    /// This node begins to lead. Each of these members is taken to know this version, until it says in a renewal
    /// what it does: one that was heard before it was known who leads is the last for a while, and what changes
    /// meanwhile must not wait for the next. A member that knows less has missed something, and says so.
    pub(super) fn handle_leading(
        &mut self,
        members: impl IntoIterator<Item = NodeId>,
        version: Version,
    ) {
        let told = Told {
            version,
            at: Time::ZERO,
        };
        self.told = members.into_iter().map(|node| (node, told)).collect();
    }

    /// A member says in a renewal what it knows.
    pub(super) fn handle_renewal(&mut self, node: NodeId, version: Version, now: Time) {
        let told = self.told.entry(node).or_insert(Told { version, at: now });
        let was_lost = now.saturating_since(told.at) >= self.patience;
        if version > told.version || was_lost {
            told.version = version;
        }
    }

    /// A member says that it has missed something since this version.
    pub(super) fn handle_missed(&mut self, node: NodeId, version: Version) {
        if let Some(told) = self.told.get_mut(&node) {
            told.version = version;
        }
    }

    /// The link with a node is another one: what was on its way on the last one is lost.
    pub(super) fn handle_link(&mut self, node: NodeId) {
        if let Some(told) = self.told.get_mut(&node) {
            told.at = Time::ZERO;
        }
    }

    /// The node is a member no more.
    pub(super) fn handle_gone(&mut self, node: NodeId) {
        self.told.remove(&node);
    }

    /// A member has been told up to this version.
    pub(super) fn handle_told(&mut self, node: NodeId, version: Version, now: Time) {
        if let Some(told) = self.told.get_mut(&node) {
            *told = Told { version, at: now };
        }
    }

    /// Forgets all: this node does not lead any more.
    pub(super) fn clear(&mut self) {
        self.told.clear();
    }

    /// Returns the members that have been told less, with what each has been told.
    pub(super) fn behind(&self, version: Version) -> Vec<(NodeId, Version)> {
        let behind = self.told.iter().filter(|(_, told)| told.version < version);
        behind.map(|(node, told)| (*node, told.version)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId(7);

    fn at(millis: u64) -> Time {
        Time::ZERO + Duration::from_millis(millis)
    }

    fn renewed(version: u64) -> Telling {
        let mut telling = Telling::new(Duration::from_millis(500));
        telling.handle_renewal(NODE, Version(version), at(1000));
        telling
    }

    #[test]
    fn a_renewal_that_crosses_a_delta_has_nothing_told_again() {
        let mut telling = renewed(3);
        assert_eq!(telling.behind(Version(5)), [(NODE, Version(3))]);
        telling.handle_told(NODE, Version(5), at(1400));
        telling.handle_renewal(NODE, Version(3), at(1500));
        assert_eq!(telling.behind(Version(5)), []);
        telling.handle_renewal(NODE, Version(3), at(1900));
        assert_eq!(
            telling.behind(Version(5)),
            [(NODE, Version(3))],
            "it was lost"
        );
    }

    #[test]
    fn what_a_member_has_missed_is_told_again_at_once() {
        let mut telling = renewed(3);
        telling.handle_told(NODE, Version(5), at(1100));
        telling.handle_missed(NODE, Version(4));
        assert_eq!(telling.behind(Version(5)), [(NODE, Version(4))]);
        telling.handle_told(NODE, Version(5), at(1100));
        telling.handle_link(NODE);
        telling.handle_renewal(NODE, Version(3), at(1101));
        assert_eq!(telling.behind(Version(5)), [(NODE, Version(3))]);
    }

    #[test]
    fn a_member_that_has_not_renewed_is_told_what_has_changed_since_another_one_leads() {
        let mut telling = Telling::new(Duration::from_millis(500));
        telling.handle_leading([NODE], Version(3));
        assert_eq!(telling.behind(Version(3)), []);
        assert_eq!(telling.behind(Version(5)), [(NODE, Version(3))]);
        telling.handle_renewal(NODE, Version(2), at(1000));
        assert_eq!(
            telling.behind(Version(3)),
            [(NODE, Version(2))],
            "it knows less"
        );
    }

    #[test]
    fn whoever_does_not_renew_is_told_nothing() {
        let mut telling = renewed(3);
        telling.handle_missed(NodeId(8), Version(0));
        telling.handle_told(NodeId(8), Version(1), at(1000));
        telling.handle_gone(NODE);
        assert_eq!(telling.behind(Version(5)), []);
    }
}
