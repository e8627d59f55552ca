//! What travels with a call besides its arguments.

use std::time::Duration;

use callboard_protocol::{
    id::{ActorAddr, NodeId},
    rights::Roles,
    time::Time,
    wire::{header::TraceContext, hello::PeerKind},
};

use crate::net::PeerInfo;

use super::scope::Chain;

/// Who made a call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The node or client.
    pub node: NodeId,
    /// The actor whose turn made the call, if an actor's did.
    pub actor: Option<ActorAddr>,
    way: Way,
    roles: Roles,
}

/// How a call has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// From this node.
    Local,
    /// Over the link with this kind of peer.
    Linked(PeerKind),
    /// From another node than its caller's, which does not say what that is.
    Forwarded,
}

impl Caller {
    /// Makes the caller on this node.
    pub(super) fn local(node: NodeId, actor: Option<ActorAddr>) -> Self {
        Self {
            node,
            actor,
            way: Way::Local,
            roles: Roles::default(),
        }
    }

    /// Makes the caller on a peer.
    pub(super) fn remote(peer: &PeerInfo, actor: Option<ActorAddr>) -> Self {
        Self {
            node: peer.id,
            actor,
            way: Way::Linked(peer.kind),
            roles: peer.roles.clone(),
        }
    }

    /// Makes the caller of a send that another node has forwarded.
    pub(super) fn forwarded(node: NodeId, actor: Option<ActorAddr>, roles: Roles) -> Self {
        Self {
            node,
            actor,
            way: Way::Forwarded,
            roles,
        }
    }

    /// Returns whether the call was made on the node that runs it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.way == Way::Local
    }

    /// Returns whether a linked node made the call, by its certificate; a client may have a node's name.
    pub(crate) fn is_node(&self) -> bool {
        self.way == Way::Linked(PeerKind::Node)
    }

    /// Returns the roles in the certificate of the node or client; none for a local call.
    #[must_use]
    pub fn roles(&self) -> &Roles {
        &self.roles
    }

    /// Returns whether the caller may act in this role: its certificate has it, or the call is local.
    /// It is the rule of `#[handler(allow = "…")]`.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.is_local() || self.roles.contains(role)
    }
}

/// What the host knows of a call. It lies in the mailbox as it is, so it is kept small: what few
/// calls have is apart.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) caller: Caller,
    /// In this node's time.
    pub(crate) deadline: Time,
    pub(crate) queued_at: Time,
    pub(crate) chain: Chain,
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug)]
struct Rare {
    trace: Option<TraceContext>,
    request: Option<u128>,
}

impl Meta {
    /// Makes what is known of a call that is put into its queue now.
    pub(crate) fn new(caller: Caller, deadline: Time, queued_at: Time, chain: Chain) -> Self {
        Self {
            caller,
            deadline,
            queued_at,
            chain,
            rare: None,
        }
    }

    /// Adds the trace that the call belongs to and the id that its caller gave it.
    pub(crate) fn marked(mut self, trace: Option<TraceContext>, request: Option<u128>) -> Self {
        if trace.is_some() || request.is_some() {
            self.rare = Some(Box::new(Rare { trace, request }));
        }
        self
    }

    /// Returns how long the call may take from when it was put into its queue.
    pub(crate) fn allowed(&self) -> Duration {
        self.deadline.saturating_since(self.queued_at)
    }

    /// Returns the trace that the call belongs to.
    pub(crate) fn trace(&self) -> Option<TraceContext> {
        self.rare.as_ref()?.trace
    }

    /// Returns the id that the caller gave the call.
    pub(crate) fn request(&self) -> Option<u128> {
        self.rare.as_ref()?.request
    }

    /// Returns whether the call is recorded in spans.
    pub(crate) fn is_sampled(&self) -> bool {
        self.trace().is_some_and(|trace| trace.flags & 1 == 1)
    }
}

/// A message in a mailbox.
#[derive(Debug)]
pub(crate) struct Queued<M> {
    pub(crate) meta: Meta,
    pub(crate) message: M,
    /// When its turn began; before that, when it was queued.
    pub(crate) began: Time,
    /// Its turn has to begin before this.
    pub(crate) begins_by: Time,
}
