//! Warns where a key has several activations: nodes that host its type are linked, and nobody places keys.
//!
//! Depends on `driver`.

use callboard_protocol::id::InterfaceId;

use super::{driver::Driver, ownership::PlacedBy, peers::Peers};

impl Driver {
    /// Warns of the first linked node that hosts an actor type of this one while nobody places keys.
    pub(super) fn warn_of_twins(&mut self) {
        if self.is_warned_of_twins || self.ownership.placed_by() != PlacedBy::WhoAsks {
            return;
        }
        let own = self.parts.about.hosts.iter().copied();
        let Some((node, actor)) = twin(&self.peers, own) else {
            return;
        };
        tracing::warn!(
            node,
            actor,
            "another node hosts this actor type too, and no control group places the keys, so each node \
             has an activation of its own of every key; form a cluster with `bootstrap_expect` and a \
             `data_dir`, or host the type on one node only"
        );
        self.is_warned_of_twins = true;
    }
}

/// Returns the first linked node that hosts one of these types, and the type's name.
fn twin(peers: &Peers, mut own: impl Iterator<Item = InterfaceId>) -> Option<(&str, &str)> {
    own.find_map(|id| {
        peers.links().find_map(|link| {
            let peer = link.peer();
            let hosted = peer.hosts.interface(id)?;
            Some((peer.name.as_str(), hosted.name.as_str()))
        })
    })
}
