//! The addresses that this side was given to find others through, and how their dials went.
//!
//! A seed is dialled for as long as the node at it is not linked. Where one was linked and a later process of its name
//! is, elsewhere, it is dialled too: both may run. What is worth a line in the log of it
//! is found out in `notice`.

use std::net::SocketAddr;
use std::time::Instant;

use callboard_protocol::code::{Code, Retry};
use callboard_protocol::id::{Incarnation, NodeId, NodeName};
use callboard_protocol::wire::hello::PeerKind;

use super::super::error::LinkDown;
use super::dial::{Dial, Reminder};
use super::{Candidate, Peers, Target};

/// What is known of one address.
#[derive(Debug)]
pub(super) struct Seed {
    pub(super) dial: Dial,
    /// Who answered there last, and in which life.
    pub(super) node: Option<(NodeId, Incarnation)>,
    /// It is this node's own address.
    pub(super) is_own: bool,
    /// The node there has left in order, and none was linked there since.
    pub(super) left: Option<NodeName>,
    pub(super) trouble: Reminder,
}

impl<L: Clone + PartialEq> Peers<L> {
    /// Adds a seed: an address that is dialled for as long as it is not linked.
    pub(in super::super) fn handle_seed(&mut self, addr: SocketAddr, now: Instant) {
        let dial = Dial::due(now);
        self.seeds.entry(addr).or_insert(Seed {
            dial,
            node: None,
            is_own: false,
            left: None,
            trouble: Reminder::default(),
        });
    }

    /// Takes a seed away.
    pub(in super::super) fn forget_seed(&mut self, addr: SocketAddr) {
        self.seeds.remove(&addr);
    }

    /// Returns why the last dials of the seeds failed, in the order of their addresses; nothing for one of
    /// which no dial has ended yet.
    pub(in super::super) fn seeds_tried(&self) -> Vec<(SocketAddr, Option<LinkDown>)> {
        let others = self.seeds.iter().filter(|(_, seed)| !seed.is_own);
        others
            .map(|(addr, seed)| (*addr, seed.dial.failure()))
            .collect()
    }

    /// Returns the seeds whose last dial failed, and why.
    pub(in super::super) fn seed_failures(&self) -> Vec<(SocketAddr, LinkDown)> {
        let tried = self.seeds_tried().into_iter();
        tried.filter_map(|(addr, why)| Some((addr, why?))).collect()
    }

    /// Returns why every seed refuses this side, if all of them have and trying again gives the
    /// same answer.
    pub(in super::super) fn refused_by_all(&self) -> Option<(SocketAddr, LinkDown)> {
        let mut failures = self.seed_failures();
        let others = self.seeds.values().filter(|seed| !seed.is_own).count();
        // A handshake fails by what a certificate says, which the next try does not change either.
        let never =
            |why: &LinkDown| why.code.retry() == Retry::Never || why.code == Code::HandshakeFailed;
        let all = failures.len() == others && failures.iter().all(|(_, why)| never(why));
        if all && !failures.is_empty() {
            Some(failures.swap_remove(0))
        } else {
            None
        }
    }

    /// Returns whether the node at a seed is linked.
    pub(in super::super) fn is_linked_seed(&self, addr: SocketAddr) -> bool {
        let answered = self.seeds.get(&addr).and_then(|seed| seed.node);
        answered.is_some_and(|who| self.life_of(who.0) == Some(who))
            || self.up.values().any(|up| {
                let Candidate { kind, addr: at, .. } = &up.candidate;
                *kind == PeerKind::Node && *at == Some(addr)
            })
    }

    /// Takes in who was met at a seed. Where nobody is, who was there is the one that is linked elsewhere.
    pub(super) fn note_met_at(&mut self, target: Target, met: Option<(NodeId, Incarnation)>) {
        if target.member.is_some() {
            return;
        }
        let known = self.seeds.get(&target.addr).and_then(|seed| seed.node);
        let linked = known.and_then(|(node, _)| self.life_of(node));
        if let Some(seed) = self.seeds.get_mut(&target.addr) {
            seed.node = met.or(linked).or(seed.node);
        }
    }

    /// Takes in that a node has left in order: its address does not answer from now on, and that is no mistake.
    pub(super) fn note_left(&mut self, left: &Candidate) {
        for (addr, seed) in &mut self.seeds {
            if seed.node.is_some_and(|(node, _)| node == left.id) || left.addr == Some(*addr) {
                seed.left = Some(left.name.clone());
            }
        }
    }
}
