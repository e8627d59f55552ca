//! The service that has a node make actors for others.
//!
//! Depends on `hosting`.

use std::{sync::Arc, time::Duration};

use callboard_macros::{Service, handlers};
use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, InterfaceId},
    rights::Policy,
};

use crate::{
    actor::Guardian,
    call::{Asker, Hosted, Hub, Interface, Reference, Session, interface_id},
    service::{Ctx, hosting},
};

/// Makes actors on its node. Every node hosts it by itself.
#[derive(Default, Service)]
#[service(name = "callboard.spawns")]
pub(crate) struct SpawnDesk;

#[handlers]
impl SpawnDesk {
    /// Tells how loaded this node is, if it makes actors of the type for the caller.
    #[handler(idempotent)]
    pub fn load(&self, ctx: &Ctx<Self>, interface: u32) -> Result<u64, CallError> {
        let host = host_for(ctx, interface)?;
        ctx.hub().takes_actors(host.name())?;
        Ok(load(ctx.hub()))
    }

    /// Makes an actor of the type and returns its number: for the same request, the same one.
    #[handler(idempotent)]
    pub fn spawn(&self, ctx: &Ctx<Self>, interface: u32, request: u128) -> Result<u64, CallError> {
        let host = host_for(ctx, interface)?;
        let asker = asker(ctx, request)?;
        let made = ctx
            .hub()
            .spawn_once(asker, host.name(), || make(&*host, ctx.hub()));
        made.map(|actor| actor.0)
    }

    /// The caller keeps the actor that its request has made: it ends by itself otherwise.
    #[handler(idempotent)]
    pub fn keep(&self, ctx: &Ctx<Self>, request: u128) -> Result<(), CallError> {
        ctx.hub().keep_spawned(&asker(ctx, request)?);
        Ok(())
    }

    /// The caller wants no actor of its request any more: one that was made ends.
    #[handler(idempotent)]
    pub fn let_go(&self, ctx: &Ctx<Self>, request: u128) -> Result<(), CallError> {
        let hub = ctx.hub();
        if let Some(actor) = hub.let_spawned_go(asker(ctx, request)?) {
            let of = hub.clone();
            hub.tasks().spawn("spawned", async move {
                hosting::end_actor(&of, actor, Duration::ZERO).await;
            });
        }
        Ok(())
    }
}

/// Returns what makes actors of the type, if the caller may have it made.
fn host_for(ctx: &Ctx<SpawnDesk>, interface: u32) -> Result<Arc<dyn Hosted>, CallError> {
    let (hub, interface) = (ctx.hub(), InterfaceId(interface));
    let host = hub.host(interface).filter(|host| host.nursery().is_some());
    let not_hosted = || hub.error_of(Code::NotHosted, &hub.interface_name(interface));
    let host = host.ok_or_else(not_hosted)?;
    if let Some(caller) = ctx.caller() {
        hub.permits_spawn(&caller, host.name())?;
    }
    Ok(host)
}

/// Returns how loaded this node is. Those who ask right now do not count: where many choose at the same time, each host
/// would look the busier the sooner they have asked it.
pub(super) fn load(hub: &Hub) -> u64 {
    let desk = hub.actor(ACTOR);
    let asking = desk.map_or(0, |desk| desk.depth() + desk.running());
    hub.load().saturating_sub(asking as u64)
}

/// Makes an actor on this node.
///
/// # Errors
/// What [`Nursery::make`](crate::call::Nursery::make) says, and `NotHosted`.
pub(super) fn make(host: &dyn Hosted, hub: &Hub) -> Result<ActorAddr, CallError> {
    match host.nursery() {
        Some(nursery) => nursery.make(),
        None => Err(hub.error_of(Code::NotHosted, host.name())),
    }
}

fn asker(ctx: &Ctx<SpawnDesk>, request: u128) -> Result<Asker, CallError> {
    let caller = ctx.caller();
    let nobody = || ctx.hub().error_of(Code::Forbidden, "of nobody");
    Ok(Asker::new(&caller.ok_or_else(nobody)?, request))
}

/// Begins to host the service on a node that has not opened yet, and to end what nobody keeps.
///
/// # Errors
/// As [`hosting::host_service`].
pub(crate) fn host(hub: &Arc<Hub>, guardian: &Guardian) -> Result<(), CallError> {
    let make = |_: &Ctx<SpawnDesk>| SpawnDesk;
    hosting::host_service_at::<SpawnDesk>(hub, guardian, Arc::new(make), ACTOR)?;
    hub.tasks().spawn("unkept", end_unkept(hub.clone()));
    Ok(())
}

/// Ends the actors that nobody has kept in time, until the node ends.
async fn end_unkept(hub: Arc<Hub>) {
    let token = hub.tasks().token().clone();
    while let Some(actor) = token.run_until_cancelled(hub.next_unkept()).await {
        tracing::warn!(
            "actor {actor} was made for another node, which has not said that it knows of it: nobody has its ref, and it \
             ends; look at whether the two nodes have lost each other"
        );
        hosting::end_actor(&hub, actor, Duration::ZERO).await;
    }
}

/// Returns the policy of a node, in which every node may have actors made there unless an earlier rule is about it. That
/// clients may not is looked at by the handlers: a node has no role by being one.
pub(crate) fn policy(policy: Policy) -> Policy {
    policy.allow_anyone("callboard.spawns/*")
}

/// Returns the service of a peer, if it hosts it: not if it is of an earlier version.
pub(super) fn of_peer(hub: &Arc<Hub>, session: &Session) -> Option<SpawnDeskRef> {
    let peer = session.link.peer();
    let addr = ActorAddr {
        node: peer.id,
        incarnation: peer.incarnation,
        actor: ACTOR,
    };
    let desk = hosting::service_ref_at::<SpawnDesk>(hub, addr);
    session.hosts(desk_id(&desk)).then_some(desk)
}

fn desk_id<R: Reference<Interface: Interface>>(_: &R) -> InterfaceId {
    interface_id::<R::Interface>()
}

/// The number under which every life of a node knows its own; spawned actors are numbered from 1 up, and do not
/// come this far.
const ACTOR: ActorId = ActorId(u64::MAX - 1);
