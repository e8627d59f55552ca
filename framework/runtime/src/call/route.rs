//! Chooses where a call goes: here, or over which session.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, NodeId},
    policy::{Load, candidates, choose},
    slots::{Owner, SlotId},
    time::Time,
    wire::hello::PeerKind,
};

use crate::{
    actor::Cell,
    cluster::{Fence, Ownership},
};

use super::{
    attempts::Plan,
    face::Face,
    hub::Hub,
    interface::{Definition, Interface, MethodSpec},
    meta::Queued,
    placed::{Tenure, fence, owner},
    reference::{Address, Ref},
    server::Directory,
    session::Session,
    withdrawal::withdrawn,
};

/// Where a call goes.
pub(crate) enum Route<I: Interface> {
    /// To an actor or a service of this process.
    Local(Place<I>),
    /// To a peer, by this ownership if it is a key's.
    Remote(Arc<Session>, Option<Tenure>),
}

/// A mailbox of this process.
pub(crate) struct Place<I: Interface> {
    pub(super) cell: CellOf<I>,
    /// Finds the next activation when this one ends in the very moment of the call.
    again: Option<Again<I>>,
}

/// The directory of a key's activation, the key, and what the activation is bound to.
type Again<I> = (Arc<dyn Directory<I>>, <I as Definition>::Key, Option<Fence>);

/// A cell for messages of `I`.
pub(crate) type CellIn<I> = Cell<Queued<<I as Interface>::Msg>>;

/// A shared [`CellIn`].
pub(crate) type CellOf<I> = Arc<CellIn<I>>;

impl<I: Interface> Place<I> {
    /// Returns the key's next activation; nothing for what is not keyed.
    pub(super) fn again(&self) -> Option<Result<CellOf<I>, CallError>> {
        let (directory, key, fence) = self.again.as_ref()?;
        Some(directory.activation(key, fence.as_ref()))
    }
}

/// Chooses for one attempt of a call, as [`choose_route`] does. The first attempt of a call of a service that no
/// linked node can take waits for those that are known and not linked yet: for [`SETTLING_MAX`] at most.
///
/// # Errors
/// As [`choose_route`].
///
/// # Cancel safety
/// Dropping it loses nothing.
pub(super) async fn find_route<I: Interface>(
    raw: &Ref<I>,
    plan: &Plan<'_>,
    method: usize,
    tried: &[NodeId],
) -> Result<Route<I>, CallError> {
    match choose_route(raw, plan, method, tried) {
        Err(error) if tried.is_empty() && may_come(raw, &error) => {
            Box::pin(route_when_linked(raw, plan, method, error)).await
        }
        found => found,
    }
}

/// Returns whether a node that is not linked yet may take a call that found none.
fn may_come<I: Interface>(raw: &Ref<I>, error: &CallError) -> bool {
    let for_want_of_a_host = matches!(
        error.code(),
        Code::NoHost | Code::SchemaMismatch | Code::UnknownMethod | Code::ServiceGivenUp
    );
    for_want_of_a_host && *raw.address() == Address::Service
}

async fn route_when_linked<I: Interface>(
    raw: &Ref<I>,
    plan: &Plan<'_>,
    method: usize,
    mut error: CallError,
) -> Result<Route<I>, CallError> {
    // Of the whole call, however often it is tried.
    let waited = plan.hub.now().saturating_since(plan.meta.queued_at);
    let until = Instant::now() + SETTLING_MAX.saturating_sub(waited);
    let Some(mut changes) = plan.hub.net().map(|net| net.link_changes()) else {
        return Err(error);
    };
    loop {
        // BEFORE the look: a change in between wakes it.
        changes.mark_unchanged();
        let is_settling = plan.hub.net().is_some_and(|net| net.is_settling());
        match choose_route(raw, plan, method, &[]) {
            Err(latest) if may_come(raw, &latest) => error = latest,
            found => return found,
        }
        let changed =
            is_settling && matches!(timeout_at(until, changes.changed()).await, Ok(Ok(())));
        if !changed {
            return Err(error);
        }
    }
}

/// Chooses for one attempt of a call; `tried` are the nodes that earlier attempts went to.
///
/// # Errors
/// What keeps the call from being made now: `NoHost`, `PeerUnreachable`, `PeerDenied`,
/// `NodeStopping`, `KeyedElsewhere`, `ActorGone`, or for a service the reason that no host fits.
pub(super) fn choose_route<I: Interface>(
    raw: &Ref<I>,
    plan: &Plan<'_>,
    method: usize,
    tried: &[NodeId],
) -> Result<Route<I>, CallError> {
    let (hub, face) = (plan.hub, &*plan.face);
    let spec = &I::METHODS[method];
    match raw.address() {
        Address::Service => service(plan, method, tried),
        Address::Spawned(addr) => {
            if let Some(cell) = raw.cell().and_then(|cell| cell.downcast().ok()) {
                return Ok(Route::Local(Place { cell, again: None }));
            }
            if addr.node == hub.me().id {
                let node = hub.node_name(addr.node);
                let gone = spec.error_on(Code::ActorGone, &node);
                return Err(gone.with_detail(hub.gone(addr)));
            }
            let session = hub.session(addr.node);
            session
                .map(|it| Route::Remote(it, None))
                .ok_or_else(|| unreachable_actor(hub, spec, addr))
        }
        Address::Keyed(key) => {
            let fence = match hub.ownership() {
                Some(ownership) => match placed(raw, key, plan, ownership)? {
                    Placed::Here(fence) => Some(fence),
                    Placed::At(session, tenure) => return Ok(Route::Remote(session, Some(tenure))),
                },
                None => None,
            };
            let directory = face.local::<Arc<dyn Directory<I>>>();
            let directory = directory.ok_or_else(|| keyed_elsewhere(hub, face, spec))?;
            let cell = directory.activation(key, fence.as_ref())?;
            let again = Some(((*directory).clone(), key.clone(), fence));
            Ok(Route::Local(Place { cell, again }))
        }
    }
}

/// Where the slot of a key is.
enum Placed {
    Here(Fence),
    At(Arc<Session>, Tenure),
}

/// Finds the owner of a key's slot.
///
/// # Errors
/// `SlotUnowned`, also if it is an earlier life's; `PeerUnreachable`, `PeerDenied`; `NodeStopping` if its node has said so; `Moved` if it is
/// here, and no turn may start, or for a send whose slot is on its way.
fn placed<I: Interface>(
    raw: &Ref<I>,
    key: &I::Key,
    plan: &Plan<'_>,
    ownership: &Arc<Ownership>,
) -> Result<Placed, CallError> {
    let (hub, spec) = (plan.hub, plan.spec);
    let bytes = raw.key_bytes(key, spec)?;
    let place = owner(ownership, plan.face.id, bytes, (spec, plan.wants_reply))?;
    let (id, owner, _) = place;
    if owner == ownership.me() {
        return fence(hub, ownership, &plan.face, bytes).map(Placed::Here);
    }
    let session = session_of_owner(raw, hub, (spec, plan.face.name), (id, owner))?;
    Ok(Placed::At(session, Tenure::of(place)))
}

/// Returns the session with the owner of a slot, if a call may go there.
///
/// # Errors
/// As [`placed`].
pub(super) fn session_of_owner<I: Interface>(
    raw: &Ref<I>,
    hub: &Hub,
    (spec, kind): (&'static MethodSpec, &str),
    (id, owner): (SlotId, Owner),
) -> Result<Arc<Session>, CallError> {
    match raw.session(owner.node) {
        // It has given its slots away, or gives them up, and this node has not heard who has them. What is
        // sent there now may come when the port is closed: nobody could say then whether it ran.
        Some(session) if session.link.is_leaving() => {
            Err(spec.error_on(Code::NodeStopping, &hub.node_name(owner.node)))
        }
        // Its process is gone, and another one of that name is here: that one does not own the slot, and
        // the call would end with the life that it was sent to.
        Some(session) if session.link.peer().incarnation > owner.incarnation => {
            let node = hub.node_name(owner.node);
            Err(spec.error(Code::SlotUnowned).with_detail(format!(
                "{node} has started anew, and nobody is known here yet to have what it owned before"
            )))
        }
        Some(session) => Ok(session),
        None => {
            let what = format!("no link to it is up; slot {id} of {kind}");
            Err(not_linked(hub, spec, owner.node, &what))
        }
    }
}

/// Prefers this node; otherwise takes the better of two hosts drawn at random.
fn service<I: Interface>(
    plan: &Plan<'_>,
    method: usize,
    tried: &[NodeId],
) -> Result<Route<I>, CallError> {
    let (hub, face) = (plan.hub, &*plan.face);
    if !tried.contains(&hub.me().id)
        && let Some(cell) = roomy::<I>(hub, face, plan.patience(), plan.meta.queued_at)
    {
        return Ok(Route::Local(Place { cell, again: None }));
    }
    let sessions = hub.sessions();
    if tried.is_empty()
        && let Some(session) = drawn(hub, face, method, &sessions, plan.meta.queued_at)
    {
        return Ok(Route::Remote(session.clone(), None));
    }
    let now = hub.now();
    let mut refusal = None;
    let mut hosts = Vec::new();
    for session in &*sessions {
        if !session.hosts(face.id) {
            if session.link.has_withdrawn(face.id) {
                refusal = refusal.or_else(|| Some(withdrawn(plan.spec, session)));
            }
            continue;
        }
        match session.agrees(face, method) {
            Ok(()) => hosts.push(session),
            Err(error) => refusal = Some(error),
        }
    }
    // A node that failed this call, or is about to stop, is better than none; one that refused
    // other calls a moment ago is better than that.
    let untried =
        |session: &Arc<Session>| !tried.contains(&session.node()) && !session.link.is_leaving();
    if hosts.iter().any(|session| untried(session)) {
        hosts.retain(|session| untried(session));
        if hosts.iter().any(|session| !session.is_avoided(now)) {
            hosts.retain(|session| !session.is_avoided(now));
        }
    }
    let chosen = choose(hosts.len(), hub.random(), |index| hosts[index].load(now));
    match chosen.and_then(|index| hosts.get(index)) {
        Some(session) => Ok(Route::Remote((*session).clone(), None)),
        None => match face.local::<CellIn<I>>() {
            // Full, or about to stop: its mailbox says which, or takes the call after all.
            Some(cell) if !tried.contains(&hub.me().id) => {
                Ok(Route::Local(Place { cell, again: None }))
            }
            _ => Err(refusal.unwrap_or_else(|| no_host(hub, &I::METHODS[method]))),
        },
    }
}

/// Draws two of the linked nodes and takes the better one, if there is nothing against either: so it
/// is as if two had been drawn of all that fit, and the cost does not grow with the cluster. Nothing
/// says that all have to be looked at.
pub(super) fn drawn<'a>(
    hub: &Hub,
    face: &Face,
    method: usize,
    sessions: &'a [Arc<Session>],
    now: Time,
) -> Option<&'a Arc<Session>> {
    let fits = |session: &Arc<Session>| {
        session.hosts(face.id)
            && !session.link.is_leaving()
            && !session.is_avoided(now)
            && session.agrees(face, method).is_ok()
    };
    let random = hub.random();
    let (first, second) = candidates(sessions.len(), random)?;
    let fit = fits(sessions.get(first)?) && (first == second || fits(sessions.get(second)?));
    let load = |index: usize| {
        sessions
            .get(index)
            .map_or_else(Load::default, |it| it.load(now))
    };
    sessions.get(choose(sessions.len(), random, load).filter(|_| fit)?)
}

/// Returns the cell of a service of this node that takes calls and would take this one: `left` as
/// for [`Cell::admits`].
pub(super) fn roomy<I: Interface>(
    hub: &Hub,
    face: &Face,
    left: Option<Duration>,
    now: Time,
) -> Option<CellOf<I>> {
    let cell = face.local::<CellIn<I>>()?;
    let takes = !hub.is_stopping() && cell.mailbox.has_room() && cell.admits(left, now).is_ok();
    takes.then_some(cell)
}

/// Returns whether a call that ended so has no use in asking the same host again: it has too much to do,
/// or has given the service up.
pub(super) fn is_for_others(code: Code) -> bool {
    matches!(code, Code::MailboxFull | Code::ServiceGivenUp)
}

/// Returns whether another node hosts the service that no attempt of the call has gone to.
pub(super) fn has_untried_host(plan: &Plan<'_>, tried: &[NodeId]) -> bool {
    let sessions = plan.hub.sessions();
    let mut hosts = sessions
        .iter()
        .filter(|session| session.hosts(plan.face.id));
    hosts.any(|session| !tried.contains(&session.node()))
}

/// Says why an actor of another node is not reached, and what is known of whether it lives.
fn unreachable_actor(hub: &Hub, spec: &'static MethodSpec, addr: &ActorAddr) -> CallError {
    if hub.names().has_left(addr.node, addr.incarnation) {
        let what = format!("it has left in order, and actor {addr} is gone with it");
        let error = not_linked(hub, spec, addr.node, &what);
        return match error.code() {
            Code::PeerUnreachable => error.with_advice(FRESH_REF),
            _ => error,
        };
    }
    if hub.names().name(addr.node).is_none() {
        let what = format!(
            "this is the id of a node that was not linked so far: it has just come, or has ended, and actor {addr} \
             with it, or is not to be reached from here"
        );
        let error = not_linked(hub, spec, addr.node, &what);
        return match error.code() {
            Code::PeerUnreachable => error.with_advice(IN_A_MOMENT),
            _ => error,
        };
    }
    let what = format!(
        "no link to it is up; if its process has ended, so has actor {addr}, and another ref is needed"
    );
    not_linked(hub, spec, addr.node, &what)
}

fn not_linked(hub: &Hub, spec: &'static MethodSpec, node: NodeId, what: &str) -> CallError {
    if let Some(why) = hub.over() {
        return spec.error(Code::NodeStopping).with_detail(why);
    }
    let name = hub.node_name(node);
    match hub.names().denial(node) {
        Some(denial) => spec.error_on(Code::PeerDenied, &name).with_detail(denial),
        None => spec
            .error_on(Code::PeerUnreachable, &name)
            .with_detail(what.to_owned()),
    }
}

/// Says why a key is not reached from here, and how many of the linked nodes host its type.
fn keyed_elsewhere(hub: &Hub, face: &Face, spec: &'static MethodSpec) -> CallError {
    if let Some(why) = hub.over() {
        return spec.error(Code::NodeStopping).with_detail(why);
    }
    let name = spec.interface;
    let sessions = hub.sessions();
    let hosts = sessions.iter().filter(|it| it.hosts(face.id)).count();
    let linked = format!(
        "linked nodes that host it: {hosts} of {}",
        linked_nodes(hub)
    );
    let error = spec.error(Code::KeyedElsewhere);
    error.with_detail(match hub.me().kind {
        PeerKind::Client => format!(
            "a client hosts no actors, and no control group places the keys of {name}; {linked}"
        ),
        _ => format!(
            "this node does not host {name}: add `.host::<{name}>()` to its builder; {linked}"
        ),
    })
}

/// Returns how many nodes are linked. Clients host nothing.
fn linked_nodes(hub: &Hub) -> usize {
    let sessions = hub.sessions();
    let nodes = sessions
        .iter()
        .filter(|it| it.link.peer().kind == PeerKind::Node);
    nodes.count()
}

fn no_host(hub: &Hub, spec: &'static MethodSpec) -> CallError {
    nobody_hosts(hub, spec.interface, |code, node| match node {
        Some(node) => spec.error_on(code, node),
        None => spec.error(code),
    })
}

/// Says why no linked node hosts an interface. `error` makes the error with its subject, which may be on a node.
pub(crate) fn nobody_hosts(
    hub: &Hub,
    interface: &str,
    error: impl Fn(Code, Option<&str>) -> CallError,
) -> CallError {
    if let Some(why) = hub.over() {
        return error(Code::NodeStopping, None).with_detail(why);
    }
    let links = linked_nodes(hub);
    let denied = hub.names().first_denied();
    match (links, denied) {
        (0, Some((node, denial))) => error(Code::PeerDenied, Some(&format!("node {node}")))
            .with_detail(format!("no link to any node is up, as {denial}")),
        (0, None) => {
            let has_seeds = hub.net().is_some_and(|net| net.has_seeds());
            error(Code::NoHost, None)
                .with_detail(unlinked(&hub.names().left()))
                .with_advice(nowhere(hub.me().kind, links, has_seeds))
        }
        (links, denied) => {
            let denied = denied.map(|(node, denial)| format!("; {node} is kept out: {denial}"));
            let detail = format!(
                "none of the {links} linked nodes hosts {}{}",
                interface,
                denied.unwrap_or_default()
            );
            error(Code::NoHost, None)
                .with_detail(detail)
                .with_advice(nowhere(hub.me().kind, links, true))
        }
    }
}

/// Says that no node is linked, and which have left in order.
fn unlinked(left: &[String]) -> String {
    let nothing = "no link to any node is up";
    match left {
        [] => nothing.to_owned(),
        [one] => format!("{nothing}; {one} has left in order"),
        more => format!("{nothing}; {} have left in order", more.join(" and ")),
    }
}

/// Says what to do about a service that no linked node hosts.
fn nowhere(kind: PeerKind, links: usize, has_seeds: bool) -> &'static str {
    match (kind, links) {
        (_, 0) if has_seeds => {
            "start the nodes that its seeds are, or wait: they are dialled again and again"
        }
        (PeerKind::Node, 0) => {
            "host it on this node, with `.host::<…>()` at its builder, or start a node that hosts it, with this one as \
             its seed"
        }
        (PeerKind::Client, _) => {
            "host it on a node, with `.host::<…>()` at its builder, or check that this client is linked with the right \
             cluster"
        }
        _ => Code::NoHost.advice(),
    }
}

/// What to do about a ref of an actor that is gone with its node.
const FRESH_REF: &str =
    "get a fresh ref from where this one came from, such as the service that spawned the actor";

/// What to do about a node that this one has never been linked with.
const IN_A_MOMENT: &str = "call again in a moment; if that does not help, get a fresh ref from where this one came from, or \
                           look at the network between the two";

/// How long a call waits in all for links to known nodes before it is said that nobody can take it: many times what
/// a handshake takes.
const SETTLING_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_do_about_a_service_without_a_host_depends_on_who_asks_and_what_is_linked() {
        let (node, client) = (PeerKind::Node, PeerKind::Client);
        for kind in [node, client] {
            assert!(
                nowhere(kind, 0, true).starts_with("start the nodes that its seeds are, or wait")
            );
        }
        assert!(nowhere(node, 0, false).starts_with("host it on this node"));
        assert_eq!(nowhere(node, 2, true), Code::NoHost.advice());
        assert!(nowhere(client, 2, true).contains("check that this client is linked"));
        assert!(!nowhere(client, 2, true).contains("this node"));
    }

    #[test]
    fn nodes_that_have_left_are_named_where_none_is_linked() {
        let left =
            |names: &[&str]| unlinked(&names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(left(&[]), "no link to any node is up");
        assert_eq!(
            left(&["n1"]),
            "no link to any node is up; n1 has left in order"
        );
        let two = "no link to any node is up; n1 and n2 have left in order";
        assert_eq!(left(&["n1", "n2"]), two);
    }
}
