//! Which nodes host a type, and what is said where one does not.
//!
//! Depends on `desk`.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use callboard_protocol::{
    code::{CallError, Code, HandlerError},
    id::{ActorAddr, InterfaceId, NodeId, NodeName},
    policy::candidates,
    wire::hello::PeerKind,
};
use tokio::time::{Instant, timeout_at};

use crate::{
    call::{Definition, Hub, Session, interface_id, nobody_hosts},
    service::{hosting::FaceOf, naming::is_node},
};

use super::desk::{self, SpawnDeskRef};

/// A type of actors that one is wanted of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) interface: InterfaceId,
    name: &'static str,
}

/// A node that hosts it.
#[derive(Clone, Debug)]
pub(super) enum Host {
    Here,
    Peer(Arc<Session>, SpawnDeskRef),
}

impl Host {
    pub(super) fn id(&self, hub: &Hub) -> NodeId {
        match self {
            Self::Here => hub.me().id,
            Self::Peer(session, _) => session.node(),
        }
    }
}

impl Wanted {
    pub(super) fn of<T: Definition>() -> Self {
        Self {
            interface: interface_id::<FaceOf<T>>(),
            name: T::NAME,
        }
    }

    /// Makes an actor on this node.
    ///
    /// # Errors
    /// `NotHosted`, `NodeStopping`, `TooManyActors`.
    pub(super) fn make_here(self, hub: &Arc<Hub>) -> Result<ActorAddr, CallError> {
        match hub.host(self.interface) {
            Some(host) => desk::make(&*host, hub),
            None => Err(self.not_hosted(hub, &hub.me().name)),
        }
    }

    /// Makes the error of a call of the desk of a peer that of what it was for.
    pub(super) fn error_of(self, session: &Session, error: HandlerError<CallError>) -> CallError {
        match error {
            HandlerError::App(error) => error,
            HandlerError::Call(error) => {
                let subject = format!("actor {} on {}", self.name, session.peer_name());
                CallError::new(error.code(), subject).with_detail(error.detail().to_owned())
            }
        }
    }

    /// Checks that this node takes actors of it.
    ///
    /// # Errors
    /// `NodeStopping`.
    pub(super) fn takes_here(self, hub: &Hub) -> Result<(), CallError> {
        hub.takes_actors(self.name)
    }

    /// Draws two of the nodes that host it, without those that were tried, or the only one. If there is none, nodes that
    /// are known and not linked yet are waited for.
    ///
    /// # Errors
    /// `NoHost`, `PeerDenied`, `NodeStopping`.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(super) async fn draw(
        self,
        hub: &Arc<Hub>,
        tried: &BTreeSet<NodeId>,
    ) -> Result<(Host, Option<Host>), CallError> {
        let nobody = || {
            nobody_hosts(hub, self.name, |code, node| match node {
                Some(node) => CallError::new(code, format!("actor {} on {node}", self.name)),
                None => CallError::new(code, format!("actor {}", self.name)),
            })
        };
        let found = when_linked(hub, Instant::now() + SETTLING_MAX, || {
            let hosts = self.all(hub, tried);
            let (first, second) = candidates(hosts.len(), hub.random())?;
            let second = hosts.get(second).filter(|_| second != first);
            Some((hosts.get(first)?.clone(), second.cloned()))
        });
        found.await.ok_or_else(nobody)
    }

    /// Returns the node of this name, which is waited for if nodes are known and not linked yet.
    ///
    /// # Errors
    /// `PeerUnreachable`, `PeerDenied`, `NotHosted`, `NodeStopping`; `UnknownMethod` for a node of an earlier version.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(super) async fn host_named(self, hub: &Arc<Hub>, name: &str) -> Result<Host, CallError> {
        let unlinked = |why| Err(self.unlinked(hub, name, why));
        let Ok(valid) = NodeName::new(name) else {
            return unlinked("no node can have this name");
        };
        let id = NodeId::of(&valid);
        if id == hub.me().id && hub.me().kind == PeerKind::Node {
            return Ok(Host::Here);
        }
        let by = Instant::now() + SETTLING_MAX;
        let session = when_linked(hub, by, || hub.session(id).filter(|it| is_node(it))).await;
        let Some(session) = session else {
            return unlinked("no link to it is up");
        };
        let error = |code| CallError::new(code, format!("actor {} on node {name}", self.name));
        if session.link.is_leaving() {
            return Err(error(Code::NodeStopping).with_detail("it is stopping"));
        }
        let Some(desk) = desk::of_peer(hub, &session) else {
            return Err(error(Code::UnknownMethod)
                .with_detail("its version makes no actors for others")
                .with_advice("upgrade the node, or name another one"));
        };
        match session.hosts(self.interface) {
            true => Ok(Host::Peer(session, desk)),
            false => Err(self.not_hosted(hub, name)),
        }
    }

    fn all(self, hub: &Arc<Hub>, tried: &BTreeSet<NodeId>) -> Vec<Host> {
        let here = hub
            .host(self.interface)
            .is_some_and(|host| host.nursery().is_some());
        let here = (here && !tried.contains(&hub.me().id)).then_some(Host::Here);
        let sessions = hub.sessions();
        let peers = sessions.iter().filter(|it| {
            is_node(it)
                && it.hosts(self.interface)
                && !it.link.is_leaving()
                && !tried.contains(&it.node())
        });
        let peers = peers.filter_map(|it| Some(Host::Peer(it.clone(), desk::of_peer(hub, it)?)));
        here.into_iter().chain(peers).collect()
    }

    fn not_hosted(self, hub: &Arc<Hub>, node: &str) -> CallError {
        let error = CallError::new(
            Code::NotHosted,
            format!("actor {} on node {node}", self.name),
        );
        error
            .with_detail(format!("hosted by: {}", self.hosted_by(hub)))
            .with_advice(
                "host it there, with `.host::<…>()` at its builder, or name a node that hosts it",
            )
    }

    fn unlinked(self, hub: &Arc<Hub>, node: &str, why: &str) -> CallError {
        if let Some(over) = hub.over() {
            return CallError::new(Code::NodeStopping, format!("actor {}", self.name))
                .with_detail(over);
        }
        let subject = format!("actor {} on node {node}", self.name);
        let id = NodeName::new(node).ok().map(|name| NodeId::of(&name));
        if let Some(denial) = id.and_then(|id| hub.names().denial(id)) {
            return CallError::new(Code::PeerDenied, subject).with_detail(denial);
        }
        CallError::new(Code::PeerUnreachable, subject)
            .with_detail(format!("{why}; hosted by: {}", self.hosted_by(hub)))
            .with_advice(
                "look at whether the name is right and the node runs, or name a node that hosts the type; \
                 `members()` has those that are linked",
            )
    }

    /// Returns the names of the nodes that host it, as far as a line goes.
    fn hosted_by(self, hub: &Arc<Hub>) -> String {
        let name = |host: &Host| match host {
            Host::Here => hub.me().name.clone(),
            Host::Peer(session, _) => session.link.peer().name.to_string(),
        };
        let hosts = self.all(hub, &BTreeSet::new());
        let names: Vec<_> = hosts.iter().take(LISTED_MAX).map(name).collect();
        match (names.len(), hosts.len() - names.len()) {
            (0, _) => "no linked node".to_owned(),
            (_, 0) => names.join(", "),
            (_, more) => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// Returns what a look finds. While it finds nothing, it looks again with each link that comes up, until then, as long as
/// nodes are known and not linked yet.
async fn when_linked<T>(hub: &Hub, until: Instant, look: impl Fn() -> Option<T>) -> Option<T> {
    let mut changes = hub.net()?.link_changes();
    loop {
        // BEFORE the look: a change in between wakes it.
        changes.mark_unchanged();
        let is_settling = hub.net().is_some_and(|net| net.is_settling());
        if let Some(found) = look() {
            return Some(found);
        }
        let waited =
            is_settling && matches!(timeout_at(until, changes.changed()).await, Ok(Ok(())));
        if !waited {
            return None;
        }
    }
}

/// How long nodes that are known and not linked yet are waited for: many times what a handshake takes, as for a call of
/// a service.
const SETTLING_MAX: Duration = Duration::from_secs(1);

/// So many nodes are named in an error, which has a bound.
const LISTED_MAX: usize = 8;
