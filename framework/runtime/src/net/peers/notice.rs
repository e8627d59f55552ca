//! What the one who runs a node has to be told, because it does not mend itself.
//!
//! Here it is found out and put into words; `mesh` writes it. What lasts is told again, each time
//! after a longer wait.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use callboard_protocol::code::Code;
use callboard_protocol::id::{Incarnation, NodeName};

use super::super::error::LinkDown;
use super::super::link::PeerInfo;
use super::{Peers, Refused, Target};

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Notice {
    /// There is no link to a seed.
    SeedFails { addr: SocketAddr, why: LinkDown },
    /// A seed is this node itself.
    SeedOwn { addr: SocketAddr },
    /// There is a link to a seed of which the opposite was told.
    SeedLinked { addr: SocketAddr },
    /// A node is linked of which the log has said that it was lost.
    LinkedAgain { name: NodeName, lost: Duration },
    /// A peer refuses this node: another process of its name is linked there.
    NameTaken { by: SocketAddr, why: LinkDown },
    /// A process of this node's own name was met.
    Namesake {
        addr: SocketAddr,
        incarnation: Incarnation,
    },
    /// A peer was refused: another process of its name is linked here.
    NameTwice {
        name: NodeName,
        refused: (SocketAddr, Incarnation),
        why: LinkDown,
    },
}

impl Notice {
    /// Writes the line.
    pub(in super::super) fn log(&self, own_name: &NodeName) {
        let (code, advice) = (Code::DuplicateNode.text(), Code::DuplicateNode.advice());
        match self {
            Self::SeedFails { addr, why } if why.code == Code::PeerTimeout => {
                tracing::warn!(
                    "seed {addr} does not answer ({why}; check the address, and that a node runs there); trying on"
                );
            }
            // The network that this node is on may change; what it says of itself is no advice.
            Self::SeedFails { addr, why } if why.code == Code::PeerUnreachable => {
                let why = &why.detail;
                tracing::warn!("seed {addr} is not dialled: {why}; name it by another address");
            }
            Self::SeedFails { addr, why } => {
                let advice = seed_advice(why);
                tracing::warn!("seed {addr} gives no link ({why}; {advice}); trying on");
            }
            // A list of seeds that all nodes share is no mistake.
            Self::SeedOwn { addr } => {
                tracing::info!("seed {addr} is this node itself: it is not dialled again");
            }
            // As loud as the warning that it ends.
            Self::SeedLinked { addr } => tracing::warn!("seed {addr} is linked now"),
            // As loud as the warning that it ends.
            Self::LinkedAgain { name, lost } => {
                tracing::warn!(peer = %name, "a node that was lost is linked again, after {lost:.1?}");
            }
            Self::NameTaken { by, why } => {
                let who = &why.detail;
                tracing::warn!(refused_by = %by, "{who} took over the links of this one; {advice} ({code})");
            }
            Self::Namesake { addr, incarnation } => tracing::warn!(
                "another process named {own_name} (incarnation {incarnation}, at {addr}) was met; \
                 {advice} ({code})"
            ),
            Self::NameTwice { name, refused, why } => {
                let ((addr, incarnation), who) = (refused, &why.detail);
                tracing::warn!(
                    "{name} (incarnation {incarnation}, from {addr}) is refused, because {who} is \
                     linked; {advice} ({code})"
                );
            }
        }
    }
}

/// Writes that a node was lost: since when, and what to do. `still` is for how long this process stood still, if it
/// has lately.
pub(in super::super) fn lost(
    peer: &PeerInfo,
    session: u64,
    why: &LinkDown,
    timeout: Duration,
    still: Option<Duration>,
) {
    let (addr, name) = (peer.addr.unwrap_or(peer.seen_at), &peer.name);
    if let Some(still) = still {
        tracing::warn!(
            peer = %name, %addr, session, %why,
            "lost a node, as this process itself stood still for {still:.1?}: calls go to others, and it is dialled again \
             and again; look first why this process stood still, and at that node only if it is not linked again"
        );
        return;
    }
    let since = match why.code {
        Code::PeerTimeout => format!(", from which nothing has come for {timeout:?}"),
        _ => String::new(),
    };
    tracing::warn!(
        peer = %name, %addr, session, %why,
        "lost a node{since}: calls go to others, and it is dialled again and again; if it is to run, look whether its \
         process does, and at the network between"
    );
}

/// Why no seed is linked, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeedTrouble {
    pub(crate) why: String,
    pub(crate) advice: String,
}

/// Returns what to do about a seed that gives no link.
fn seed_advice(why: &LinkDown) -> &'static str {
    match why.code {
        // What is to be done for a call is nothing: here it may be the only one.
        Code::NodeLeaving => "start it again, or name another seed",
        code => code.advice(),
    }
}

impl<L: Clone + PartialEq> Peers<L> {
    /// Returns why no seed is linked, if more is known than that none has answered.
    pub(in super::super) fn seed_trouble(&self) -> Option<SeedTrouble> {
        let others = self.seeds.values().filter(|seed| !seed.is_own);
        if others.count() == 0 {
            let (own, _) = self.seeds.first_key_value()?;
            return Some(SeedTrouble {
                why: format!("the only seed, {own}, is this node itself"),
                advice: "name the address of another node as a seed".to_owned(),
            });
        }
        let (addr, why) = self.seeds.iter().find_map(|(addr, seed)| {
            let said = seed.dial.said.as_ref().filter(|_| !seed.is_own)?;
            // The other connection is on its way up.
            (said.code != Code::LinkSuperseded).then_some((addr, said))
        })?;
        Some(SeedTrouble {
            why: format!("seed {addr} gives no link ({why})"),
            advice: seed_advice(why).to_owned(),
        })
    }

    /// Takes in that a connection of the other side's became no link.
    pub(in super::super) fn handle_refused(
        &mut self,
        addr: SocketAddr,
        refused: &Refused,
        now: Instant,
    ) {
        if refused.why.code != Code::DuplicateNode {
            return;
        }
        let Some(met) = &refused.peer else {
            return;
        };
        let (why, incarnation) = (refused.why.clone(), met.incarnation);
        if met.id == self.me.id {
            if incarnation != self.me.incarnation && self.name_taken.is_due(now) {
                self.notices
                    .push_back(Notice::Namesake { addr, incarnation });
            }
        } else if refused.by_peer {
            self.note_name_taken(addr, &why, now);
        } else if let Some(up) = self.up.get_mut(&(met.id, None))
            && up.namesakes.is_due(now)
        {
            let (name, refused) = (met.name.clone(), (addr, incarnation));
            self.notices
                .push_back(Notice::NameTwice { name, refused, why });
        }
    }

    /// Takes in that a connection of this side's became no link.
    pub(super) fn note_refused_dial(&mut self, target: Target, refused: &Refused, now: Instant) {
        // The close of a peer that refuses may come before its hello, and leave none to read. It is the
        // peer's own word all the same, where another node than this one is known to be.
        let is_unnamed = refused.peer.is_none() && refused.by_peer;
        if is_unnamed && refused.why.code == Code::DuplicateNode && self.is_of_another(target) {
            self.note_name_taken(target.addr, &refused.why, now);
        } else {
            self.handle_refused(target.addr, refused, now);
        }
    }

    fn note_name_taken(&mut self, by: SocketAddr, why: &LinkDown, now: Instant) {
        if self.name_taken.is_due(now) {
            let why = why.clone();
            self.notices.push_back(Notice::NameTaken { by, why });
        }
    }

    /// Returns whether an address is known to be that of another node than this one.
    fn is_of_another(&self, target: Target) -> bool {
        let seed = self.seeds.get(&target.addr).and_then(|seed| seed.node);
        let known = target.member.or(seed);
        // None of the members is this node.
        known.is_some_and(|node| node != self.me.id)
            || self.members.values().any(|it| it.info.addr == target.addr)
    }

    pub(super) fn note_failed_seed(&mut self, target: Target, why: &LinkDown, now: Instant) {
        // These two mend themselves; a name that is taken has a notice of its own.
        let is_told = !matches!(
            why.code,
            Code::NodeStopping | Code::LinkSuperseded | Code::DuplicateNode
        );
        if target.member.is_none()
            && is_told
            && !self.is_linked_seed(target.addr)
            && let Some(seed) = self.seeds.get_mut(&target.addr)
            && seed.trouble.is_due(now)
        {
            let (addr, why) = (target.addr, why.clone());
            self.notices.push_back(Notice::SeedFails { addr, why });
        }
    }

    pub(super) fn note_seed_linked(&mut self, addr: SocketAddr) {
        if let Some(seed) = self.seeds.get_mut(&addr) {
            seed.dial.is_tried = true;
            if seed.trouble.end() {
                self.notices.push_back(Notice::SeedLinked { addr });
            }
        }
    }
}
