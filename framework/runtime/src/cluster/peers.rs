//! The nodes that are linked, and what is said to them.
//!
//! A message that is too long for the control lane goes in parts, each of which is written before the
//! next one waits, so that signs of life are never behind more than one. Nothing here waits, and what
//! is not taken is dropped. Depends on `inbox` and `net`.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use callboard_protocol::{
    cluster::{Message, PART_BYTES, Seen, decode_message, encode_message},
    id::{DiskId, NodeId},
    slots::{Assembly, Chunk, chunks},
};

use crate::{control::MESSAGE_BYTES_MAX, net::Link, task::Tasks};

/// The nodes that are linked.
#[derive(Debug, Default)]
pub(super) struct Peers {
    nodes: BTreeMap<NodeId, Peer>,
}

#[derive(Debug)]
struct Peer {
    link: Arc<Link>,
    seen: Option<Seen>,
    assembly: Assembly,
    /// A long message is on its way.
    long: Arc<AtomicBool>,
}

/// What has come and gone.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) came: Vec<NodeId>,
    pub(super) gone: Vec<NodeId>,
}

impl Peers {
    /// Takes in which links there are.
    pub(super) fn handle_links(&mut self, links: Vec<Arc<Link>>) -> Changes {
        let mut changes = Changes::default();
        let newest: BTreeMap<NodeId, Arc<Link>> =
            links.into_iter().map(|it| (it.peer().id, it)).collect();
        self.nodes.retain(|node, peer| {
            let stays = newest.get(node).is_some_and(|link| *link == peer.link);
            if !stays {
                changes.gone.push(*node);
            }
            stays
        });
        for (node, link) in newest {
            self.nodes.entry(node).or_insert_with(|| {
                changes.came.push(node);
                Peer {
                    link,
                    seen: None,
                    assembly: Assembly::default(),
                    long: Arc::default(),
                }
            });
        }
        changes
    }

    /// Returns the links, in the order of the nodes' ids.
    pub(super) fn links(&self) -> impl Iterator<Item = &Link> {
        self.nodes.values().map(|peer| &*peer.link)
    }

    /// Takes in what a node says of itself.
    pub(super) fn handle_seen(&mut self, node: NodeId, seen: Seen) {
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.seen = Some(seen);
        }
    }

    /// Takes in a part of a long message; returns the message when it is whole.
    pub(super) fn handle_part(&mut self, node: NodeId, part: Chunk) -> Option<Message> {
        whole(&mut self.nodes.get_mut(&node)?.assembly, part)
    }

    /// Says something to a node. It is dropped if the node is not linked, or does not read; returns
    /// whether it was not.
    pub(super) fn send(&self, to: NodeId, message: &Message, tasks: &Tasks) -> bool {
        let Some(peer) = self.nodes.get(&to) else {
            return false;
        };
        let Ok(bytes) = encode_message(message, LONG_BYTES_MAX) else {
            return false;
        };
        if bytes.len() <= PART_BYTES {
            return peer.link.tell(&bytes).is_some();
        }
        let is_free = !peer.long.swap(true, Ordering::AcqRel);
        if is_free {
            let (link, long) = (Arc::clone(&peer.link), Arc::clone(&peer.long));
            tasks.spawn("long-message", async move {
                say(&link, &bytes).await;
                long.store(false, Ordering::Release);
            });
        }
        is_free
    }

    /// Returns whether a node is linked.
    pub(super) fn has(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// Returns the link with a node.
    pub(super) fn link(&self, node: NodeId) -> Option<&Arc<Link>> {
        self.nodes.get(&node).map(|peer| &peer.link)
    }

    /// Returns all nodes that are linked.
    pub(super) fn nodes(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// Returns the disk of a node's log, as it says.
    pub(super) fn disk(&self, node: NodeId) -> Option<DiskId> {
        self.nodes.get(&node)?.seen?.disk
    }

    /// Returns whether a node says that it has no log.
    pub(super) fn has_no_log(&self, node: NodeId) -> bool {
        let peer = self.nodes.get(&node);
        peer.and_then(|it| it.seen)
            .is_some_and(|it| it.disk.is_none())
    }

    /// Returns whether a node is linked and does not know that voters can be chosen.
    pub(super) fn is_outdated(&self, node: NodeId) -> bool {
        self.link(node).is_some_and(|link| !link.knows_choices())
    }

    /// Returns the node with this disk, as it says.
    pub(super) fn node_with(&self, disk: DiskId) -> Option<NodeId> {
        let mut nodes = self.nodes.iter();
        let found = nodes.find(|(_, peer)| peer.seen.is_some_and(|it| it.disk == Some(disk)));
        found.map(|(node, _)| *node)
    }
}

/// Takes in a part of a long message; returns the message when it is whole.
pub(super) fn whole(assembly: &mut Assembly, part: Chunk) -> Option<Message> {
    if part.total > LONG_BYTES_MAX as u64 {
        return None;
    }
    let whole = assembly.handle_chunk(part);
    let message = decode_message(&whole.ok()??).ok()?;
    (!matches!(message, Message::Part(_))).then_some(message)
}

/// Says a message that is encoded, in parts if it is long; returns whether all of it was taken, once
/// it is written.
///
/// # Cancel safety
/// Dropped in the middle, a part of a long message may have been said. The receiver begins anew with
/// the next one.
pub(super) async fn say(link: &Link, message: &[u8]) -> bool {
    if message.len() <= PART_BYTES {
        let Some(told) = link.tell(message) else {
            return false;
        };
        link.told(told).await;
        return true;
    }
    for part in chunks(message, PART_BYTES) {
        let part = encode_message(&Message::Part(part), PART_BYTES * 2);
        let told = part.ok().and_then(|part| link.tell(&part));
        // A message with a hole is of no use.
        let Some(told) = told else {
            return false;
        };
        link.told(told).await;
    }
    true
}

/// The longest message: one of the control group with a snapshot, and its head.
pub(super) const LONG_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 1024;
