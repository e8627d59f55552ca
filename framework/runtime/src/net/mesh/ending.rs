//! The end of a link: what is known of why, and what follows from it.
//!
//! Each part of it is decided elsewhere: in `standstill`, in `peers` and in `error`.

use std::sync::Arc;

use callboard_protocol::wire::hello::PeerKind;

use super::super::error::LinkDown;
use super::super::link::Link;
use super::super::peers::notice;
use super::Mesh;

impl Mesh {
    /// Adds to why a link has ended what this side knows besides, for the log and for the calls that it ends.
    pub(in super::super) fn explained(&self, link: &Link, why: LinkDown) -> LinkDown {
        let peer = link.peer();
        let still = (self.standstill).explains(&why, self.env.clock.since_boot());
        let is_restarted =
            peer.kind == PeerKind::Node && self.peers().has_later_life(peer.id, peer.incarnation);
        why.explained(still, is_restarted)
    }

    /// Takes in that a link has ended and the layer above was told.
    pub(in super::super) fn ended(&self, link: &Arc<Link>, why: &LinkDown) {
        let (peer, session) = (&link.peer().name, link.session());
        if why.is_loss() && link.peer().kind == PeerKind::Node {
            notice::lost(link.peer(), session, why, self.config.peer_timeout);
        } else {
            tracing::info!(%peer, session, %why, "link down");
        }
        self.refusals.count(why.code);
        let (now, random) = (self.env.clock.now(), self.env.entropy.next_u64());
        self.peers().handle_ended(link, why, now, random);
        self.news.notify_one();
    }
}
