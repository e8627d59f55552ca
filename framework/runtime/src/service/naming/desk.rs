//! The service that nodes ask each other, and clients ask nodes.
//!
//! Depends on nothing of `naming`.

use std::{fmt, sync::Arc, time::Duration};

use callboard_macros::{Service, Wire, handlers};
use callboard_protocol::{
    code::CallError,
    id::{ActorAddr, ActorId, Incarnation, InterfaceId, NodeId},
    rights::Policy,
};

use crate::{
    actor::Guardian,
    call::{Hub, Interface, Reference, Session, interface_id},
    service::{Ctx, hosting},
};

/// Answers who has a name on its node. Every node hosts it by itself.
#[derive(Default, Service)]
#[service(name = "callboard.names")]
pub(crate) struct NameDesk;

/// An actor of the node that says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Wire)]
pub(crate) struct Place {
    node: u64,
    incarnation: u64,
    actor: u64,
}

/// An actor that has a name.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub(crate) struct Listed {
    pub(super) at: Place,
    interface: u32,
    /// The name of its definition.
    pub(super) kind: String,
}

/// A name that an actor of the asking node has held for so long.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub(crate) struct HeldFor {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) held: Duration,
}

/// Says that the actor of the asking node has lost the name to this one.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub(crate) struct Kept {
    pub(super) name: String,
    pub(super) by: Place,
}

/// Only nodes ask for names and compare them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Wire)]
pub(crate) struct NotANode;

#[handlers]
impl NameDesk {
    /// Tells which actor of this node has the name.
    #[handler(idempotent)]
    pub fn find(&self, ctx: &Ctx<Self>, name: String) -> Option<Listed> {
        let found = ctx.hub().named(&name)?;
        Some(Listed {
            at: found.actor.into(),
            interface: found.interface.0,
            kind: found.kind.to_owned(),
        })
    }

    /// A node asks for a name for its actor: tells which actor of this node keeps it from that.
    #[handler(idempotent)]
    pub fn claim(
        &self,
        ctx: &Ctx<Self>,
        name: String,
        by: Place,
    ) -> Result<Option<Place>, NotANode> {
        let by = ActorAddr::from(by).checked(ctx)?;
        Ok(ctx.hub().name_asked(&name, by).map(Place::from))
    }

    /// A node that was linked anew tells its names: returns those that its actors have lost.
    #[handler(idempotent)]
    pub fn meet(&self, ctx: &Ctx<Self>, names: Vec<HeldFor>) -> Result<Vec<Kept>, NotANode> {
        let mut kept = Vec::new();
        for HeldFor { name, at, held } in names {
            let theirs = ActorAddr::from(at).checked(ctx)?;
            if let Some(ours) = ctx.hub().meet_name(&name, theirs, held) {
                let by = ours.into();
                kept.push(Kept { name, by });
            }
        }
        Ok(kept)
    }
}

impl fmt::Display for NotANode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the caller is no node of the cluster, or not the one that it says it is")
    }
}

/// What is checked of an address that a peer says is its own.
trait Checked: Sized {
    /// # Errors
    /// The caller is no node, or not the one of the address.
    fn checked(self, ctx: &Ctx<NameDesk>) -> Result<Self, NotANode>;
}

impl Checked for ActorAddr {
    fn checked(self, ctx: &Ctx<NameDesk>) -> Result<Self, NotANode> {
        let caller = ctx.caller();
        let is_its = caller.is_some_and(|it| it.is_node() && it.node == self.node);
        is_its.then_some(self).ok_or(NotANode)
    }
}

impl Listed {
    pub(super) fn interface(&self) -> InterfaceId {
        InterfaceId(self.interface)
    }
}

impl From<ActorAddr> for Place {
    fn from(addr: ActorAddr) -> Self {
        Self {
            node: addr.node.0,
            incarnation: addr.incarnation.0,
            actor: addr.actor.0,
        }
    }
}

impl From<Place> for ActorAddr {
    fn from(place: Place) -> Self {
        Self {
            node: NodeId(place.node),
            incarnation: Incarnation(place.incarnation),
            actor: ActorId(place.actor),
        }
    }
}

/// Begins to host the service on a node that has not opened yet.
///
/// # Errors
/// As [`hosting::host_service`].
pub(crate) fn host(hub: &Arc<Hub>, guardian: &Guardian) -> Result<(), CallError> {
    let make = |_: &Ctx<NameDesk>| NameDesk;
    hosting::host_service_at::<NameDesk>(hub, guardian, Arc::new(make), ACTOR)
}

/// Returns the policy of a node, in which every node and client may ask for names unless an earlier rule is about it.
/// What only nodes may ask is looked at by the handlers: a node has no role by being one.
pub(crate) fn policy(policy: Policy) -> Policy {
    policy.allow_anyone("callboard.names/*")
}

/// Returns the service of a peer, if it hosts it: not if it is of an earlier version.
pub(super) fn of_peer(hub: &Arc<Hub>, session: &Session) -> Option<NameDeskRef> {
    let peer = session.link.peer();
    let addr = ActorAddr {
        node: peer.id,
        incarnation: peer.incarnation,
        actor: ACTOR,
    };
    let desk = hosting::service_ref_at::<NameDesk>(hub, addr);
    session.hosts(desk_id(&desk)).then_some(desk)
}

fn desk_id<R: Reference<Interface: Interface>>(_: &R) -> InterfaceId {
    interface_id::<R::Interface>()
}

/// The number under which every life of a node knows its own; spawned actors are numbered from 1 up, and do not
/// come this far.
const ACTOR: ActorId = ActorId(u64::MAX);
