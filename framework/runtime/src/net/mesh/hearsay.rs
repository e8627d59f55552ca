//! What nodes tell each other about nodes: who is a member, and that two processes have one name.
//!
//! What comes of it is decided in `peers`.

use std::sync::Arc;

use callboard_protocol::id::NodeId;
use callboard_protocol::wire::control::{Control, MemberInfo, Namesake};
use callboard_protocol::wire::hello::{FEATURE_NAMESAKES, PeerKind};

use super::super::link::{Link, PeerInfo};
use super::Mesh;

impl Mesh {
    /// Takes in the list of members of a linked node.
    pub(in super::super) fn heard(&self, teller: NodeId, members: Vec<MemberInfo>) {
        let now = self.env.clock.now();
        self.peers().handle_members(teller, members, now);
        self.news.notify_one();
    }

    /// Takes in the members of the cluster.
    pub(in super::super) fn know(&self, members: Vec<MemberInfo>) {
        let now = self.env.clock.now();
        self.peers().handle_known(members, now);
        self.news.notify_one();
    }

    /// Tells a linked node of another process that has its name.
    pub(super) fn tell_node(&self, id: NodeId, word: &Control) {
        let is_it = |link: &&Arc<Link>| {
            let peer = link.peer();
            (peer.id, peer.kind) == (id, PeerKind::Node)
        };
        if let Some(link) = self.all_links().iter().find(is_it)
            && link.accepted().features & FEATURE_NAMESAKES != 0
        {
            self.say(link, word);
        }
    }

    /// Takes in what a linked node says of another process that has this one's name.
    pub(in super::super) fn heard_of_namesake(&self, by: &PeerInfo, namesake: Namesake) {
        let now = self.env.clock.now();
        let by = by.name.clone();
        self.peers().handle_namesake(by, namesake, now);
        self.news.notify_one();
    }

    pub(super) fn tell_members(&self) {
        let members = Control::Members(self.linked_members());
        for link in self.all_links().iter() {
            self.say(link, &members);
        }
    }
}
