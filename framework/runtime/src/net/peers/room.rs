//! Whether one peer more may be linked.
//!
//! Pure, as all of `peers`. Depends on what is linked.

use callboard_protocol::code::Code;
use callboard_protocol::id::{Incarnation, NodeId};
use callboard_protocol::wire::hello::PeerKind;

use super::super::error::LinkDown;
use super::{Candidate, Peers};

impl<L> Peers<L> {
    /// A client may have as many links as it makes up incarnations, so clients do not get the
    /// share of the nodes: one that restarts would not find its way back. Nor does one name get that
    /// of the other clients.
    pub(super) fn no_room_for(&self, candidate: &Candidate) -> Option<LinkDown> {
        let (linked, most) = (self.up.len(), self.settings.peers_max);
        let too_many = |detail| Some(LinkDown::new(Code::TooManyPeers, detail));
        if linked >= most {
            return too_many(format!("{linked} peers are linked"));
        }
        if candidate.kind == PeerKind::Node {
            return None;
        }
        let namesakes = self.clients_named(candidate.id);
        if namesakes >= self.settings.client_links_max {
            return too_many(format!("{namesakes} of {} are linked", candidate.name));
        }
        let clients = self.up.values().map(|up| up.candidate.kind);
        let clients = clients.filter(|kind| *kind == PeerKind::Client).count();
        if clients >= most - most / NODES_SHARE {
            return too_many(format!("{clients} clients are linked"));
        }
        None
    }

    /// Returns how many clients are linked that have this name.
    pub(super) fn clients_named(&self, id: NodeId) -> usize {
        let of = |incarnation| (id, Some(Incarnation(incarnation)));
        self.up.range(of(0)..=of(u64::MAX)).count()
    }
}

/// One of so many of the peers that may be linked is a node, whatever clients there are.
const NODES_SHARE: usize = 4;
