//! Asks every node that is linked, and those that a link comes up with meanwhile.
//!
//! Depends on `desk`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use callboard_protocol::{
    code::{CallError, Code},
    wire::hello::PeerKind,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::call::{Hub, Session};

use super::desk::{self, NameDeskRef};

/// Whom one question was put to.
pub(super) struct Asking<'a> {
    hub: &'a Arc<Hub>,
    /// The links that were asked over: a node that is linked anew is asked anew.
    asked: BTreeSet<u64>,
    changes: watch::Receiver<()>,
    /// Until when nodes are waited for that are known and not linked.
    settles: Instant,
    gives_up: Instant,
}

/// One node to ask.
pub(super) struct Asked {
    pub(super) session: Arc<Session>,
    /// Nothing for a node of an earlier version, which knows no names.
    pub(super) desk: Option<NameDeskRef>,
}

impl<'a> Asking<'a> {
    /// Begins to ask.
    ///
    /// # Errors
    /// `NodeStopping`: there is nobody to ask any more.
    pub(super) fn new(hub: &'a Arc<Hub>, name: &str) -> Result<Self, CallError> {
        let net = hub.net().filter(|_| !hub.is_stopping());
        let Some(net) = net else {
            let error = CallError::new(Code::NodeStopping, subject(name));
            return Err(match hub.over() {
                Some(over) => error.with_detail(over),
                None => error,
            });
        };
        let now = Instant::now();
        Ok(Self {
            hub,
            asked: BTreeSet::new(),
            changes: net.link_changes(),
            settles: now + SETTLING_MAX,
            gives_up: now + patience(hub) * 2,
        })
    }

    /// Returns the nodes that are linked and were not asked yet, or nothing once there are none and none is about to be
    /// linked.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(super) async fn next(&mut self) -> Option<Vec<Asked>> {
        loop {
            // BEFORE the look: a change in between wakes it.
            self.changes.mark_unchanged();
            let is_settling = self.hub.net().is_some_and(|net| net.is_settling());
            let unasked = self.unasked();
            if !unasked.is_empty() && Instant::now() < self.gives_up {
                let ask = |session: Arc<Session>| Asked {
                    desk: desk::of_peer(self.hub, &session),
                    session,
                };
                return Some(unasked.into_iter().map(ask).collect());
            }
            let waited = timeout_at(self.settles, self.changes.changed());
            if !is_settling || !matches!(waited.await, Ok(Ok(()))) {
                return None;
            }
        }
    }

    /// Notes that a link was asked over.
    pub(super) fn note(&mut self, session: &Session) {
        self.asked.insert(session.link.session());
    }

    /// Returns whether everybody was asked that is linked now.
    pub(super) fn has_all(&self) -> bool {
        self.unasked().is_empty()
    }

    /// Returns whether links have come and gone for so long that it is of no use to go on.
    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.gives_up
    }

    fn unasked(&self) -> Vec<Arc<Session>> {
        let sessions = self.hub.sessions();
        let unasked = sessions
            .iter()
            .filter(|it| is_node(it) && !self.asked.contains(&it.link.session()));
        unasked.cloned().collect()
    }
}

/// Returns whether the session is one with a node over a link that is up.
pub(in crate::service) fn is_node(session: &Session) -> bool {
    session.link.peer().kind == PeerKind::Node && session.link.is_up()
}

/// Returns how long one node is waited for. One that does not answer for as long has no link any more.
pub(in crate::service) fn patience(hub: &Hub) -> Duration {
    hub.peer_timeout() + GRACE
}

/// Returns a name as errors name it.
pub(super) fn subject(name: &str) -> String {
    format!("name {name:?}")
}

/// How long nodes that are known and not linked yet are waited for: many times what a handshake takes, as for a
/// call of a service.
const SETTLING_MAX: Duration = Duration::from_secs(1);

/// What a node that is slow is given beyond the time after which a silent one is lost.
const GRACE: Duration = Duration::from_secs(2);
