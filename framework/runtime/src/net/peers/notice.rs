//! What the one who runs a node has to be told, because it does not mend itself.
//!
//! Here it is found out and put into words; `mesh` writes it. What lasts is told again, each time
//! after a longer wait.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use callboard_protocol::code::Code;
use callboard_protocol::id::{NodeId, NodeName};
use callboard_protocol::wire::control::{Control, MemberInfo, Namesake};
use callboard_protocol::wire::hello::PeerKind;

use super::super::error::{LinkDown, Loss};
use super::super::link::PeerInfo;
use super::{Candidate, Peers, Refused, Reminder, Target};

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Notice {
    /// There is no link to a seed.
    SeedFails { addr: SocketAddr, why: LinkDown },
    /// Nobody answers at a seed since the node there has left in order.
    SeedLeft { addr: SocketAddr, name: NodeName },
    /// A seed is this node itself.
    SeedOwn { addr: SocketAddr },
    /// There is a link to a seed of which the opposite was told.
    SeedLinked { addr: SocketAddr },
    /// A node is linked of which the log has said that it was lost.
    LinkedAgain {
        name: NodeName,
        lost: Duration,
        /// It is in a later life now.
        is_restarted: bool,
    },
    /// A peer refuses this node: another process of its name is linked there.
    NameTaken {
        by: SocketAddr,
        /// The name of that peer, where it is known.
        name: Option<NodeName>,
        why: LinkDown,
        /// There was a link with anybody before.
        had_links: bool,
    },
    /// There is a link after such a refusal.
    NameBack { by: NodeName },
    /// A process of this node's own name was met.
    Namesake(Namesake),
    /// A client was met that has this node's name, or a node that has this client's.
    NamesakeOfOtherKind { addr: SocketAddr, kind: PeerKind },
    /// This client has the name of a node, which another node is linked with.
    NodeOfOwnName { addr: SocketAddr },
    /// A client is linked that has the name of a node that is linked too.
    SharedName { name: NodeName },
    /// A peer refuses another process of this node's name, as it is linked with this one.
    TookOver { by: NodeName, from: Namesake },
    /// A peer was refused: another process of its name is linked here.
    NameTwice {
        peer: (NodeId, NodeName),
        refused: Namesake,
        why: LinkDown,
    },
}

impl Notice {
    /// Writes the line.
    pub(in super::super) fn log(&self, own_name: &NodeName) {
        let (code, advice) = (Code::DuplicateNode.text(), Code::DuplicateNode.advice());
        match self {
            Self::SeedFails { addr, why } => seed_fails(*addr, why),
            Self::SeedLeft { addr, name } => {
                tracing::warn!(
                    "seed {addr} does not answer, as {name}, which ran there, has left in order, as a node does that is \
                     stopped; start it again if it is to run; trying on"
                );
            }
            // A list of seeds that all nodes share is no mistake.
            Self::SeedOwn { addr } => {
                tracing::info!("seed {addr} is this node itself: it is not dialled again");
            }
            // As loud as the warning that it ends.
            Self::SeedLinked { addr } => tracing::warn!("seed {addr} is linked now"),
            // As loud as the warning that it ends.
            Self::LinkedAgain {
                name,
                lost,
                is_restarted,
            } => linked_again(name, *lost, *is_restarted),
            Self::NameTaken {
                by,
                name,
                why,
                had_links,
            } => name_taken((*by, name.as_ref()), why, *had_links),
            // As loud as the warning that it ends.
            Self::NameBack { by } => tracing::warn!(
                "this process is linked with {by} again, where another process named {own_name} was linked in its place"
            ),
            Self::Namesake(Namesake { addr, incarnation }) => tracing::warn!(
                "another process named {own_name} (incarnation {incarnation}, at {addr}) was met; \
                 {advice} ({code})"
            ),
            Self::NamesakeOfOtherKind { addr, kind } => tracing::warn!(
                "a {kind} named {own_name} was met, at {addr}: a client and a node of one name are never linked with each \
                 other; give the client a name of its own ({code})"
            ),
            Self::NodeOfOwnName { addr } => tracing::warn!(
                "a node named {own_name} runs at {addr}, and this client has the same name: it is never linked with that \
                 node; give the client a name of its own ({code})"
            ),
            Self::SharedName { name } => tracing::warn!(
                "a node and a client are both named {name}: the two are never linked with each other; give the client a \
                 name of its own ({code})"
            ),
            Self::TookOver { by, from } => took_over(by, *from, own_name),
            Self::NameTwice { peer, refused, why } => {
                let (Namesake { addr, incarnation }, (_, name), who) = (refused, peer, &why.detail);
                tracing::warn!(
                    "{name} (incarnation {incarnation}, from {addr}) is refused, because {who} is \
                     linked; {advice} ({code})"
                );
            }
        }
    }

    /// Returns what a linked node is to be told of it, and which.
    pub(in super::super) fn word(&self) -> Option<(NodeId, Control)> {
        match self {
            Self::NameTwice {
                peer: (id, _),
                refused,
                ..
            } => Some((*id, Control::Namesake(*refused))),
            _ => None,
        }
    }
}

fn seed_fails(addr: SocketAddr, why: &LinkDown) {
    match why.code {
        Code::PeerTimeout => tracing::warn!(
            "seed {addr} does not answer ({why}; check the address, and that a node runs there); trying on"
        ),
        // The network that this node is on may change; what it says of itself is no advice.
        Code::PeerUnreachable => {
            let why = &why.detail;
            tracing::warn!("seed {addr} is not dialled: {why}; name it by another address");
        }
        _ => {
            let advice = seed_advice(why);
            tracing::warn!("seed {addr} gives no link ({why}; {advice}); trying on");
        }
    }
}

fn linked_again(name: &NodeName, lost: Duration, is_restarted: bool) {
    let restarted = match is_restarted {
        true => {
            "; its process has started again, so the actors that were spawned there before are gone"
        }
        false => "",
    };
    tracing::warn!(peer = %name, "a node that was lost is linked again, after {lost:.1?}{restarted}");
}

fn name_taken((addr, name): (SocketAddr, Option<&NodeName>), why: &LinkDown, had_links: bool) {
    let (code, advice) = (Code::DuplicateNode.text(), Code::DuplicateNode.advice());
    let what = match had_links {
        true => "took over the links of this one",
        false => "is linked there, which refuses this one",
    };
    let (who, refused_by) = (
        &why.detail,
        name.map_or_else(|| addr.to_string(), NodeName::to_string),
    );
    tracing::warn!(refused_by, %addr, "{who} {what}; {advice} ({code})");
}

fn took_over(by: &NodeName, from: Namesake, own_name: &NodeName) {
    let (code, advice) = (Code::DuplicateNode.text(), Code::DuplicateNode.advice());
    let Namesake { addr, incarnation } = from;
    tracing::warn!(
        refused_by = %by,
        "this process took over the links of another process named {own_name} (incarnation {incarnation}, at {addr}), \
         which still runs and is refused as long as this one is linked; {advice}, and stop the one that is not to run \
         ({code})"
    );
}

/// Writes that a node was lost: how, and what to do.
pub(in super::super) fn lost(peer: &PeerInfo, session: u64, why: &LinkDown, timeout: Duration) {
    let (addr, name) = (peer.addr.unwrap_or(peer.seen_at), &peer.name);
    let (how, advice) = loss(why, timeout);
    tracing::warn!(
        peer = %name, %addr, session, %why,
        "lost a node{how}: calls go to others, and it is dialled again and again; {advice}"
    );
}

/// Returns how a node was lost, behind its mention, and what to do.
fn loss(why: &LinkDown, timeout: Duration) -> (String, &'static str) {
    let look = "if it is to run, look whether its process does, and at the network between";
    match why.loss {
        Loss::OwnStandstill(still) => (
            format!(", as this process itself stood still for {still:.1?}"),
            "look first why this process stood still, and at that node only if it is not linked again",
        ),
        Loss::Restarted => (
            ", as its process has started again".to_owned(),
            "the actors that were spawned there before are gone: get fresh refs",
        ),
        Loss::Replaced => (
            ", as a later process of its name is linked from another address".to_owned(),
            "if it was started again there, the actors that were spawned before are gone; if both run, give every node a \
             name of its own",
        ),
        Loss::Forgotten => (
            ", which has started again, or stood still for longer than the peer timeout and closed the link".to_owned(),
            "look at that node only if it is not linked again",
        ),
        Loss::Plain if why.code == Code::PeerTimeout => {
            (format!(", from which nothing has come for {timeout:?}"), look)
        }
        Loss::Plain => (String::new(), look),
    }
}

/// The processes that have taken this one's name, as those who refuse it describe them: each is told of once in a
/// while.
#[derive(Debug, Default)]
pub(super) struct Takers(BTreeMap<String, Reminder>);

impl Takers {
    fn is_due(&mut self, who: &str, now: Instant) -> bool {
        if self.0.len() >= TAKERS_MAX && !self.0.contains_key(who) {
            return false;
        }
        self.0.entry(who.to_owned()).or_default().is_due(now)
    }

    /// Forgets them, and returns whether any was told of.
    pub(super) fn end(&mut self) -> bool {
        !std::mem::take(&mut self.0).is_empty()
    }
}

/// More than are started by a mistake; who refuses this one says what it likes.
const TAKERS_MAX: usize = 16;

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
        let namesake = Namesake { incarnation, addr };
        if met.id == self.me.id {
            if incarnation != self.me.incarnation && self.namesake.is_due(now) {
                let kind = met.kind;
                self.notices.push_back(match kind == self.me.kind {
                    true => Notice::Namesake(namesake),
                    false => Notice::NamesakeOfOtherKind { addr, kind },
                });
            }
        } else if refused.by_peer {
            self.note_name_taken(addr, &why, now);
        } else if let Some(up) = self.up.get_mut(&(met.id, None))
            && up.namesakes.is_due(now)
        {
            let (peer, refused) = ((met.id, met.name.clone()), namesake);
            self.notices
                .push_back(Notice::NameTwice { peer, refused, why });
        }
    }

    /// Finds a node of this client's name among those that a peer is linked with.
    pub(super) fn note_node_of_own_name(&mut self, list: &[MemberInfo], now: Instant) {
        let is_namesake = |info: &&MemberInfo| info.id == self.me.id;
        if self.me.kind == PeerKind::Client
            && let Some(node) = list.iter().find(is_namesake)
            && self.namesake.is_due(now)
        {
            let addr = node.addr;
            self.notices.push_back(Notice::NodeOfOwnName { addr });
        }
    }

    /// Finds whether a peer that is about to be linked shares its name with one of the other kind.
    pub(super) fn note_shared_name(&mut self, candidate: &Candidate, now: Instant) {
        let id = candidate.id;
        let is_shared = match candidate.kind {
            PeerKind::Client => self.is_linked(id),
            PeerKind::Node => self.clients_named(id) > 0,
        };
        if is_shared && self.shared.is_due(now) {
            let name = candidate.name.clone();
            self.notices.push_back(Notice::SharedName { name });
        }
    }

    /// Takes in that a linked node refuses another process of this one's name.
    pub(in super::super) fn handle_namesake(&mut self, by: NodeName, from: Namesake, now: Instant) {
        if self.namesake.is_due(now) {
            self.notices.push_back(Notice::TookOver { by, from });
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
        if self.name_taken.is_due(&why.detail, now) {
            let mut known = self.members.values();
            let name = known.find(|member| member.info.addr == by);
            self.notices.push_back(Notice::NameTaken {
                by,
                name: name.map(|member| member.info.name.clone()),
                why: why.clone(),
                // It changes with each link that comes up.
                had_links: self.version > 0,
            });
        }
    }

    /// Returns whether an address is known to be that of another node than this one.
    fn is_of_another(&self, target: Target) -> bool {
        let seed = self.seeds.get(&target.addr).and_then(|seed| seed.node);
        let known = target.member.or(seed.map(|(node, _)| node));
        // This node itself would have said its hello by the next time.
        let said = self.seeds.get(&target.addr).map(|seed| &seed.dial.said);
        let refused_before = said.is_some_and(|said| {
            let mut said = said.iter();
            said.any(|why| why.code == Code::DuplicateNode)
        });
        // None of the members is this node.
        refused_before
            || known.is_some_and(|node| node != self.me.id)
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
            let notice = match &seed.left {
                Some(name) if why.code == Code::PeerTimeout => {
                    let name = name.clone();
                    Notice::SeedLeft { addr, name }
                }
                _ => Notice::SeedFails { addr, why },
            };
            self.notices.push_back(notice);
        }
    }

    pub(super) fn note_seed_linked(&mut self, addr: SocketAddr) {
        if let Some(seed) = self.seeds.get_mut(&addr) {
            seed.dial.is_tried = true;
            seed.left = None;
            if seed.trouble.end() {
                self.notices.push_back(Notice::SeedLinked { addr });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_node_was_lost_decides_what_there_is_to_look_at() {
        let (timeout, still) = (Duration::from_secs(3), Duration::from_millis(2750));
        let silent = || LinkDown::new(Code::PeerTimeout, "");
        for (why, how, advice) in [
            (
                silent(),
                ", from which nothing has come for 3s",
                "look whether its process does",
            ),
            (
                silent().explained(Some(still), false),
                ", as this process itself stood still for 2.8s",
                "look first why",
            ),
            // The one that woke has closed the link by its own timer, and has not started again.
            (
                LinkDown::forgotten(),
                ", which has started again, or stood still for longer than the peer timeout and closed the link",
                "only if it is not linked again",
            ),
            (
                LinkDown::forgotten().explained(None, true),
                ", as its process has started again",
                "the actors that were spawned there before are gone",
            ),
        ] {
            let (told, what_to_do) = loss(&why, timeout);
            assert_eq!(told, how);
            assert!(what_to_do.contains(advice), "{what_to_do}");
        }
    }
}
