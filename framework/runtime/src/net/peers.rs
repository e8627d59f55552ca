//! Decides which peers to dial, which connection becomes the link to a peer, and who is a member.
//!
//! Inputs in, actions out: no sockets, no clock, no randomness of its own, no tasks. `mesh` feeds
//! it and carries out what it says.
//!
//! **One link for a pair of nodes.** Both may dial at once. The node with the smaller id decides:
//! the first connection that the other side is willing to use becomes the link. Later ones are
//! refused as superseded. One side alone decides, so the two cannot choose differently, whatever
//! is lost or late. Between a node and a client, the node decides.
//!
//! **Members.** A node tells its peers which nodes it is linked with, not which it has heard of,
//! so news of a dead node ends when the last link to it does, and it is forgotten.
//!
//! **One process for a name.** Of two processes of one name the newer incarnation wins, on every
//! node that meets both: its link replaces the older one's, and the older is refused with
//! `DuplicateNode` for as long as the newer is linked. When the newer is gone, the older, if it
//! still runs, is linked again. Both sides of such a refusal have it told ([`Notice`]). A node that
//! restarts is the usual case of a newer incarnation: it replaces its earlier life without a word.

mod dial;
mod hearsay;
pub(super) mod notice;
mod room;
mod seeds;
mod settling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callboard_protocol::code::{Code, Retry};
use callboard_protocol::id::{Incarnation, NodeId, NodeName};
use callboard_protocol::wire::control::MemberInfo;
use callboard_protocol::wire::hello::PeerKind;

use super::config::Config;
use super::error::{LinkDown, Loss};
pub(super) use dial::Backoff;
pub(crate) use dial::Reminder;
use dial::{ATTEMPT_AFTER_LEAVING, ATTEMPT_MAX, Dial};
pub(super) use notice::Notice;
pub(crate) use notice::SeedTrouble;
use notice::Takers;
use seeds::Seed;

/// The links, dials and members of one node or client. `L` is the handle of a link.
#[derive(Debug)]
pub(super) struct Peers<L> {
    me: Me,
    settings: Settings,
    up: BTreeMap<Key, Up<L>>,
    seeds: BTreeMap<SocketAddr, Seed>,
    members: BTreeMap<NodeId, Member>,
    /// Those whom the control group knows.
    known: BTreeSet<NodeId>,
    dialling: usize,
    version: u64,
    notices: VecDeque<Notice>,
    /// For refusals because another process has this one's name.
    name_taken: Takers,
    /// For processes of this one's name that run beside it.
    namesake: Reminder,
    /// For clients that have the name of a node.
    shared: Reminder,
}

/// Who decides here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Me {
    pub(super) id: NodeId,
    pub(super) incarnation: Incarnation,
    pub(super) kind: PeerKind,
}

/// A peer whose hello was accepted.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) id: NodeId,
    pub(super) name: NodeName,
    pub(super) incarnation: Incarnation,
    pub(super) kind: PeerKind,
    pub(super) addr: Option<SocketAddr>,
}

/// What becomes of a candidate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission<L> {
    /// It is the link to its peer now.
    Up,
    /// It is to be asked for again once this link has ended, which is to be closed for it.
    After(L, LinkDown),
    /// It is to be closed.
    Refuse(LinkDown),
}

/// An address to dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) addr: SocketAddr,
    member: Option<NodeId>,
}

/// How a dial went.
#[derive(Clone, Debug)]
pub(super) enum Dialled {
    /// There is a link now, to this node.
    Linked(NodeId),
    /// There is none.
    Failed(Refused),
}

/// Why there is no link, and who was met if a hello was read.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) peer: Option<Met>,
    /// The peer closed, not this side.
    pub(super) by_peer: bool,
    pub(super) why: LinkDown,
}

/// The process that a hello was read from.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) id: NodeId,
    pub(super) name: NodeName,
    pub(super) incarnation: Incarnation,
    pub(super) kind: PeerKind,
}

/// Clients are told apart by their incarnation too: many processes may share one certificate.
type Key = (NodeId, Option<Incarnation>);

#[derive(Debug)]
struct Settings {
    peers_max: usize,
    client_links_max: usize,
    members_max: usize,
    backoff: Backoff,
    member_forget: Duration,
}

#[derive(Debug)]
struct Up<L> {
    link: L,
    candidate: Candidate,
    /// The nodes that it is linked with, by its last list.
    said: Arc<BTreeMap<NodeId, MemberInfo>>,
    /// For refusals of others of its name.
    namesakes: Reminder,
}

#[derive(Debug)]
struct Member {
    info: MemberInfo,
    dial: Dial,
    /// When it was last linked, or said to be linked by another.
    heard: Instant,
    /// When it was lost, and in which life, of which the log has said so.
    lost: Option<(Instant, Incarnation)>,
}

impl<L: Clone + PartialEq> Peers<L> {
    pub(super) fn new(me: Me, config: &Config, seeds: &[SocketAddr], now: Instant) -> Self {
        let mut peers = Self {
            me,
            settings: Settings {
                peers_max: config.peers_max,
                client_links_max: config.client_links_max,
                members_max: config.limits.members_max,
                backoff: Backoff::new(config),
                member_forget: config.member_forget,
            },
            up: BTreeMap::new(),
            seeds: BTreeMap::new(),
            members: BTreeMap::new(),
            known: BTreeSet::new(),
            dialling: 0,
            version: 0,
            notices: VecDeque::new(),
            name_taken: Takers::default(),
            namesake: Reminder::default(),
            shared: Reminder::default(),
        };
        for seed in seeds {
            peers.handle_seed(*seed, now);
        }
        peers
    }

    /// Decides about a connection whose hellos were accepted, and by the other side too where
    /// that side decides.
    pub(super) fn handle_candidate(
        &mut self,
        candidate: Candidate,
        link: L,
        is_up: impl Fn(&L) -> bool,
        now: Instant,
    ) -> Admission<L> {
        if let Some(why) = self.refusal(&candidate) {
            return Admission::Refuse(why);
        }
        let key = key(&candidate);
        if let Some(up) = self.up.get(&key) {
            let is_newer = candidate.incarnation > up.candidate.incarnation;
            if !is_newer && self.decides(&candidate) && is_up(&up.link) {
                return Admission::Refuse(LinkDown::new(Code::LinkSuperseded, ""));
            }
            let (is_later, is_moved) = (is_newer, candidate.addr != up.candidate.addr);
            let why = LinkDown::superseded(candidate.incarnation, is_later, is_moved);
            return Admission::After(up.link.clone(), why);
        }
        self.note_shared_name(&candidate, now);
        if candidate.kind == PeerKind::Node {
            self.note_linked(&candidate, now);
        }
        let up = Up {
            link,
            candidate,
            said: Arc::default(),
            namesakes: Reminder::default(),
        };
        self.up.insert(key, up);
        Admission::Up
    }

    /// Takes a link out that has ended.
    pub(super) fn handle_ended(&mut self, link: &L, why: &LinkDown, now: Instant, random: u64) {
        let ended = self
            .up
            .iter()
            .find(|(_, up)| up.link == *link)
            .map(|(key, _)| *key);
        let Some(up) = ended.and_then(|key| self.up.remove(&key)) else {
            return;
        };
        if up.candidate.kind != PeerKind::Node {
            return;
        }
        self.version += 1;
        let id = up.candidate.id;
        let attempt = match why.code {
            Code::NodeLeaving => ATTEMPT_AFTER_LEAVING,
            _ => 0,
        };
        let wait = self.settings.backoff.wait(attempt, random) + self.wait_for_the_other(id);
        let was_there = |seed: &&mut Seed| seed.node.is_some_and(|(node, _)| node == id);
        for seed in self.seeds.values_mut().filter(was_there) {
            seed.dial.wait_until(now + wait, attempt);
        }
        if why.code == Code::NodeLeaving {
            self.note_left(&up.candidate);
            self.members.remove(&id);
        } else if let Some(member) = self.members.get_mut(&id) {
            member.heard = now;
            // One that was replaced is linked at once, and was told of as that.
            let is_told = why.is_loss() && why.loss != Loss::Replaced;
            member.lost = is_told.then_some((now, up.candidate.incarnation));
            member.dial.wait_until(now + wait, attempt);
        }
        self.recall(id, Some(up.candidate.incarnation), now);
        for id in up.said.keys() {
            self.said_no_more(*id, now);
        }
    }

    /// Takes in how a dial went.
    pub(super) fn handle_dialled(
        &mut self,
        target: Target,
        result: Dialled,
        now: Instant,
        random: u64,
    ) {
        self.dialling = self.dialling.saturating_sub(1);
        let (answered, failed) = match result {
            Dialled::Linked(node) => {
                self.note_seed_linked(target.addr);
                self.note_met_at(target, self.life_of(node));
                (Some(node), None)
            }
            Dialled::Failed(refused) => {
                let met = refused.peer.as_ref().map(|met| (met.id, met.incarnation));
                self.note_met_at(target, met);
                if met == Some((self.me.id, self.me.incarnation)) {
                    self.note_own(target, now);
                    return;
                }
                self.note_refused_dial(target, &refused, now);
                self.note_failed_seed(target, &refused.why, now);
                (met.map(|(node, _)| node), Some(refused.why))
            }
        };
        let backoff = &self.settings.backoff;
        let dial = match target.member {
            None => self.seeds.get_mut(&target.addr).map(|seed| &mut seed.dial),
            Some(id) => self.members.get_mut(&id).map(|member| &mut member.dial),
        };
        let Some(dial) = dial else {
            return;
        };
        let missed = target.member.is_some() && target.member != answered;
        dial.attempt = match &failed {
            None if !missed => 0,
            // The other connection is on its way up, or the peer has to notice the loss of one.
            Some(why) if why.code == Code::LinkSuperseded => dial.attempt.clamp(1, 4),
            Some(why) if why.code.retry() == Retry::Never => ATTEMPT_MAX,
            _ => dial.attempt.saturating_add(1).min(ATTEMPT_MAX),
        };
        dial.ended(now + backoff.wait(dial.attempt, random), failed);
    }

    /// Returns the next address to dial now.
    pub(super) fn poll_dial(&mut self, now: Instant) -> Option<Target> {
        self.forget(now);
        let target = self
            .waiting()
            .filter(|(at, _)| *at <= now)
            // The longest due: in order of their ids, the first that are dead would leave the last
            // no turn.
            .min_by_key(|(at, _)| *at)
            .map(|(_, target)| target)?;
        let dial = match target.member {
            None => &mut self.seeds.get_mut(&target.addr)?.dial,
            Some(id) => &mut self.members.get_mut(&id)?.dial,
        };
        dial.at = None;
        self.dialling += 1;
        Some(target)
    }

    /// Returns when [`poll_dial`](Self::poll_dial) has to be asked again without any input.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let dials = self.waiting().map(|(at, _)| at);
        // One that is being dialled is looked at again when the dial has ended.
        let idle = self.unlinked().filter(|member| member.dial.at.is_some());
        let forget = idle.map(|member| member.heard + self.settings.member_forget);
        dials.chain(forget).min()
    }

    /// Returns the next thing to be told.
    pub(super) fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Returns why a candidate cannot be linked whoever decides, if it cannot.
    pub(super) fn refusal(&self, candidate: &Candidate) -> Option<LinkDown> {
        match self.up.get(&key(candidate)) {
            Some(Up {
                candidate: known, ..
            }) => {
                let detail = known.described();
                let differs = known.kind != candidate.kind;
                (differs || candidate.incarnation < known.incarnation)
                    .then(|| LinkDown::new(Code::DuplicateNode, detail))
            }
            None => self.no_room_for(candidate),
        }
    }

    /// Returns whether this side decides about the link to a peer.
    pub(super) fn decides(&self, peer: &Candidate) -> bool {
        self.me.decides(peer.id, peer.kind)
    }

    /// Returns whether a later life of a node than this one is known.
    pub(super) fn has_later_life(&self, id: NodeId, than: Incarnation) -> bool {
        let known = self.members.get(&id);
        known.is_some_and(|member| member.info.incarnation > than)
    }

    /// Returns a number that changes whenever a node is linked or is linked no more.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Returns the linked nodes that others can reach, ordered by id.
    pub(super) fn linked_members(&self) -> Vec<MemberInfo> {
        let reachable = self.up.values().filter_map(|up| {
            let Candidate {
                id,
                name,
                incarnation,
                addr,
                kind,
            } = &up.candidate;
            let (PeerKind::Node, Some(addr)) = (kind, addr) else {
                return None;
            };
            Some(MemberInfo {
                id: *id,
                name: name.clone(),
                incarnation: *incarnation,
                addr: *addr,
            })
        });
        reachable.take(self.settings.members_max).collect()
    }

    fn note_linked(&mut self, candidate: &Candidate, now: Instant) {
        if self.name_taken.end() {
            let by = candidate.name.clone();
            self.notices.push_back(Notice::NameBack { by });
        }
        self.version += 1;
        let Some(addr) = candidate.addr else {
            return;
        };
        self.note_seed_linked(addr);
        let info = MemberInfo {
            id: candidate.id,
            name: candidate.name.clone(),
            incarnation: candidate.incarnation,
            addr,
        };
        // A linked node is kept whatever the bound on those that are only heard of.
        match self.members.get_mut(&candidate.id) {
            Some(member) => {
                member.info = info;
                member.heard = now;
                member.dial.is_tried = true;
                if let Some((at, life)) = member.lost.take() {
                    self.notices.push_back(Notice::LinkedAgain {
                        name: candidate.name.clone(),
                        lost: now.saturating_duration_since(at),
                        is_restarted: candidate.incarnation > life,
                    });
                }
            }
            None => {
                let dial = Dial::linked(now);
                self.members.insert(
                    candidate.id,
                    Member {
                        info,
                        dial,
                        heard: now,
                        lost: None,
                    },
                );
            }
        }
    }

    fn note_own(&mut self, target: Target, now: Instant) {
        match target.member {
            None => {
                if let Some(seed) = self.seeds.get_mut(&target.addr) {
                    seed.is_own = true;
                    let addr = target.addr;
                    self.notices.push_back(Notice::SeedOwn { addr });
                }
            }
            // An old address of another node is now this one's.
            Some(id) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.dial.attempt = ATTEMPT_MAX;
                    member.dial.at = Some(now + self.settings.backoff.max);
                }
            }
        }
    }

    /// The targets that are not linked and not being dialled, with the time to dial them.
    fn waiting(&self) -> impl Iterator<Item = (Instant, Target)> {
        let room = self.dialling < DIALS_MAX;
        let seeds = self.seeds.iter();
        let seeds = seeds.filter(|(addr, seed)| !seed.is_own && !self.is_linked_seed(**addr));
        let seeds = seeds.map(|(addr, seed)| {
            (
                &seed.dial,
                Target {
                    addr: *addr,
                    member: None,
                },
            )
        });
        // A seed's address is dialled as a seed, once.
        let members = self
            .unlinked()
            .filter(|member| !self.seeds.contains_key(&member.info.addr));
        let members = members.map(|member| {
            (
                &member.dial,
                Target {
                    addr: member.info.addr,
                    member: Some(member.info.id),
                },
            )
        });
        let all = seeds.chain(members).filter(move |_| room);
        all.filter_map(|(dial, target)| Some((dial.at?, target)))
    }

    fn unlinked(&self) -> impl Iterator<Item = &Member> {
        self.members
            .values()
            .filter(|member| !self.is_linked(member.info.id))
    }

    /// Returns the node in the life that is linked, if it is.
    fn life_of(&self, node: NodeId) -> Option<(NodeId, Incarnation)> {
        let up = self.up.get(&(node, None))?;
        Some((node, up.candidate.incarnation))
    }

    fn is_linked(&self, node: NodeId) -> bool {
        self.up.contains_key(&(node, None))
    }

    /// The side that decides dials at once, the other a little later, so that most pairs dial
    /// once and not twice.
    fn wait_for_the_other(&self, peer: NodeId) -> Duration {
        if self.me.kind == PeerKind::Client || self.me.decides(peer, PeerKind::Node) {
            Duration::ZERO
        } else {
            self.settings.backoff.min * 4
        }
    }
}

impl Me {
    /// Returns whether this side decides about the link to a peer.
    pub(super) fn decides(&self, id: NodeId, kind: PeerKind) -> bool {
        self.kind == PeerKind::Node && (kind == PeerKind::Client || self.id < id)
    }
}

impl From<LinkDown> for Refused {
    fn from(why: LinkDown) -> Self {
        Self {
            peer: None,
            by_peer: false,
            why,
        }
    }
}

impl Candidate {
    pub(super) fn refused(&self, why: LinkDown) -> Refused {
        Refused {
            peer: Some(Met {
                id: self.id,
                name: self.name.clone(),
                incarnation: self.incarnation,
                kind: self.kind,
            }),
            by_peer: false,
            why,
        }
    }

    /// Names the process, for another one that has the same name.
    fn described(&self) -> String {
        let (kind, name, incarnation) = (self.kind, &self.name, self.incarnation);
        match self.addr {
            Some(addr) => {
                format!("another process named {name} (incarnation {incarnation}, at {addr})")
            }
            None => format!("another process named {name} (a {kind}, incarnation {incarnation})"),
        }
    }
}

fn key(candidate: &Candidate) -> Key {
    let incarnation = match candidate.kind {
        PeerKind::Node => None,
        PeerKind::Client => Some(candidate.incarnation),
    };
    (candidate.id, incarnation)
}

/// Dials under way at once: joining a large cluster must not be a burst of handshakes.
const DIALS_MAX: usize = 32;

#[cfg(test)]
mod tests;
