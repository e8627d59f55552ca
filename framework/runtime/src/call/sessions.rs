//! The sessions with all peers: for those who look one up, and for those who choose among them.
//!
//! Calls read them far more often than links come and go. So they are kept a second time as a list
//! that is never changed but made anew, and who chooses among many nodes copies none of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use callboard_protocol::{id::NodeId, wire::hello::PeerKind};

use super::session::Session;

/// The sessions, one for each name at most, of nodes and of clients. A client that has the name of a node must not take
/// the place of that: who makes it up would cut the node off here.
#[derive(Default)]
pub(super) struct Sessions(RwLock<Current>);

#[derive(Default)]
struct Current {
    by_peer: BTreeMap<(NodeId, PeerKind), Arc<Session>>,
    /// The same, in the order of the peers' ids.
    all: Arc<[Arc<Session>]>,
}

impl Current {
    fn changed(&mut self) {
        self.all = self.by_peer.values().cloned().collect();
    }
}

impl Sessions {
    /// Adds a session; it replaces an earlier one with the same peer, which is told so. `note` is run
    /// before anybody else adds or removes one.
    pub(super) fn add(&self, session: &Arc<Session>, note: impl FnOnce()) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: whoever finds the new one does not use the earlier one after it.
        let earlier = current.by_peer.insert(key(session), session.clone());
        if let Some(earlier) = earlier {
            earlier.set_replaced();
        }
        current.changed();
        note();
    }

    /// Takes out a session, unless a later one has taken its place. `note` is run if it was there,
    /// before anybody else adds or removes one.
    pub(super) fn remove(&self, session: &Arc<Session>, note: impl FnOnce()) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let peer = key(session);
        let is_here = |it: &Arc<Session>| Arc::ptr_eq(it, session);
        if current.by_peer.get(&peer).is_some_and(is_here) {
            current.by_peer.remove(&peer);
            current.changed();
            note();
        }
    }

    /// Returns the session with a peer: with the node of this name, else with the client.
    pub(super) fn get(&self, peer: NodeId) -> Option<Arc<Session>> {
        let current = self.read();
        let mut found = current
            .by_peer
            .range((peer, PeerKind::Node)..=(peer, PeerKind::Client));
        found.next().map(|(_, session)| session.clone())
    }

    /// Returns all, in the order of the peers' ids.
    pub(super) fn all(&self) -> Arc<[Arc<Session>]> {
        self.read().all.clone()
    }

    /// Takes out all.
    pub(super) fn take(&self) -> Arc<[Arc<Session>]> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *current).all
    }

    fn read(&self) -> RwLockReadGuard<'_, Current> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(session: &Session) -> (NodeId, PeerKind) {
    (session.node(), session.link.peer().kind)
}
