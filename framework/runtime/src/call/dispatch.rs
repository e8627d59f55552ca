//! A call that has arrived on its way to its target, and the calls that wait behind it.
//!
//! What can go on at once is handed over where it arrived. A body on a stream, and a send whose target
//! has no room, hold their pair; a task then hands over what waits, in order.

use std::{mem, pin::pin, sync::Arc, time::Duration};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, Incarnation, InterfaceId, MethodId},
    slots::Version,
};
use futures_util::future::{Either, select};
use tokio::sync::watch;

use crate::net::CloseOnPanic;

use super::{
    arrival::Arrival,
    codec::Encoding,
    coming::{Coming, Unaccepted},
    deadline::Alarm,
    envelope::Incoming,
    frame::{Aim, Arrived, ArrivedCall},
    hub::Hub,
    server::{Hosted, node_error},
    session::Session,
};

/// Reads the body of a held pair from its stream, then lets the frames behind it pass, as long as
/// some wait. A panic ends the link: the pair would be held for as long as the session lasts.
pub(super) async fn receive_bodies(session: Arc<Session>, first: Arrived) {
    let _guard = CloseOnPanic(&session.link);
    let pair = first.call.pair.clone();
    let mut next = Some(first);
    while let Some(Arrived { mut call, body }) = next {
        let received = match body {
            Some(body) => Ok(body),
            None => receive_body(&session.hub, &call).await,
        };
        // It waits for its turn from now on; until now it was on its way.
        call.meta.queued_at = session.hub.now();
        match received {
            // A large body does not wait for room in a mailbox: it would keep that of all others.
            Ok(mut body @ Encoding::Apart(_)) => {
                let targets = &mut Targets::default();
                if let Some((call, why)) = dispatch(&session.hub, targets, call, &mut body) {
                    let error = why.with_detail("a large body does not wait for that");
                    refuse(
                        &session.hub,
                        call.interface,
                        call.method,
                        call.arrival,
                        error,
                    );
                }
            }
            Ok(body) => dispatch_with_room(&session, call, body).await,
            Err(error) => refuse(
                &session.hub,
                call.interface,
                call.method,
                call.arrival,
                error,
            ),
        }
        next = session.holds.next(&pair);
    }
}

/// Hands a call to its target; a send as soon as there is room for it, or its slot is here, until its
/// deadline or the end of its session: what the next session brings must not overtake it.
async fn dispatch_with_room(session: &Session, call: ArrivedCall, mut body: Encoding<'static>) {
    let hub = &session.hub;
    let mut changes = hub.ownership().map(|it| it.changes());
    let (mut looks, mut pause) = (0_u32, LOOK_EVERY);
    let mut waiting = Some((call, node_error(hub, Code::MailboxFull)));
    while let Some((call, why)) = waiting {
        if !session.link.is_up() {
            let error = why.with_detail("until the link of its sender was lost");
            return refuse(hub, call.interface, call.method, call.arrival, error);
        }
        if let Some(changes) = &mut changes {
            // BEFORE the look: a change in between wakes it.
            changes.mark_unchanged();
        }
        let Some((call, why)) = dispatch(hub, &mut Targets::default(), call, &mut body) else {
            return;
        };
        if call.meta.deadline <= hub.now() {
            let error = why.with_detail("until the send's deadline");
            return refuse(hub, call.interface, call.method, call.arrival, error);
        }
        // Turns that make room may be ready to run on this very thread. For those that are not, a
        // look now and then costs the reader of the mailbox nothing, which a word to us would.
        match looks {
            0..LOOKS_AT_ONCE => tokio::task::yield_now().await,
            _ => {
                tokio::select! {
                    biased;
                    () = changed(&mut changes) => {}
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LOOK_EVERY_MAX);
            }
        }
        looks += 1;
        waiting = Some((call, why));
    }
}

/// Waits until the tables of slots have changed, where there are any.
async fn changed(changes: &mut Option<watch::Receiver<Version>>) {
    if let Some(changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Reads a body from its stream, unless its caller may not make the call. It is waited for up to the
/// call's deadline: a stream that was lost before it came, or that the caller of a send left open,
/// must not hold up the pair for as long as the session lasts.
async fn receive_body(hub: &Hub, arrived: &ArrivedCall) -> Result<Encoding<'static>, CallError> {
    hub.permits(arrived.interface, arrived.method, &arrived.meta.caller)?;
    let deadline = pin!(Alarm::new(hub.deadlines(), arrived.meta.deadline));
    let body = match select(pin!(arrived.arrival.read_body()), deadline).await {
        Either::Left((body, _)) => body,
        Either::Right(((), _)) => {
            Err("the arguments did not come before the call's deadline".to_owned())
        }
    };
    body.map_err(|detail| node_error(hub, Code::StreamBroken).with_detail(detail))
}

/// Finds the target and hands it the call. Returns a send that finds no room there, or whose slot is not here
/// yet, and why. The body is taken unless the call is returned.
pub(super) fn dispatch(
    hub: &Arc<Hub>,
    targets: &mut Targets,
    arrived: ArrivedCall,
    body: &mut Encoding<'_>,
) -> Option<(ArrivedCall, CallError)> {
    if arrived.arrival.is_cancelled() {
        return None;
    }
    let ArrivedCall {
        interface,
        method,
        shape,
        meta,
        sight,
        arrival,
        pair,
    } = arrived;
    let incoming = Incoming::new(mem::take(body), arrival.clone(), shape);
    let mut parts = Some(Coming {
        incoming,
        meta,
        sight,
    });
    let aim = Aim::of_held(&pair.target, interface, method);
    let accepted = offer(hub, targets, aim, &mut parts, &arrival);
    match (accepted, parts) {
        (Ok(()), _) => None,
        (Err(Unaccepted::Later(why)), Some(coming)) => {
            let Coming {
                incoming,
                meta,
                sight,
            } = coming;
            *body = incoming.into_body();
            let call = ArrivedCall {
                interface,
                method,
                shape,
                meta,
                sight,
                arrival,
                pair,
            };
            Some((call, why))
        }
        (Err(Unaccepted::Refused(error) | Unaccepted::Later(error)), _) => {
            refuse(hub, interface, method, arrival, error);
            None
        }
    }
}

/// Offers a call to its target. Its parts are taken, unless there may be a place for it in a moment.
///
/// # Errors
/// [`Unaccepted`].
pub(super) fn offer(
    hub: &Hub,
    targets: &mut Targets,
    aim: Aim<'_>,
    parts: &mut Option<Coming<'_>>,
    arrival: &Arrival,
) -> Result<(), Unaccepted> {
    let host = targets.find(hub, &aim)?;
    if !arrival.wants_reply() && host.is_full() {
        return Err(Unaccepted::Later(node_error(hub, Code::MailboxFull)));
    }
    host.accept(aim.method, aim.key, parts, arrival)
}

/// Finds what calls are for. Most calls of a lane are for what the last one was for, which is kept
/// as long as the node has taken nothing out of its tables.
#[derive(Debug, Default)]
pub(super) struct Targets(Option<Last>);

#[derive(Debug)]
struct Last {
    interface: InterfaceId,
    spawned: Option<(Incarnation, ActorId)>,
    /// What the hub counted before it was looked up.
    removals: u64,
    host: Arc<dyn Hosted>,
}

impl Targets {
    fn find(&mut self, hub: &Hub, aim: &Aim<'_>) -> Result<&Arc<dyn Hosted>, CallError> {
        let removals = hub.removals();
        let is_for_last = self.0.as_ref().is_some_and(|last| {
            last.removals == removals
                && last.interface == aim.interface
                && last.spawned == aim.spawned
        });
        if !is_for_last {
            self.0 = None;
            let host = target(hub, aim)?;
            self.0 = Some(Last {
                interface: aim.interface,
                spawned: aim.spawned,
                removals,
                host,
            });
        }
        let host = self.0.as_ref().map(|last| &last.host);
        host.ok_or_else(|| node_error(hub, Code::NotHosted))
    }
}

/// Looks up what a call is for.
fn target(hub: &Hub, aim: &Aim<'_>) -> Result<Arc<dyn Hosted>, CallError> {
    let Some((incarnation, actor)) = aim.spawned else {
        return hub
            .host(aim.interface)
            .ok_or_else(|| node_error(hub, Code::NotHosted));
    };
    let addr = ActorAddr {
        node: hub.me().id,
        incarnation,
        actor,
    };
    let actor = match hub.is_mine(&addr) {
        true => hub.actor(actor),
        false => None,
    };
    actor
        .filter(|actor| actor.interface() == aim.interface)
        .ok_or_else(|| node_error(hub, Code::ActorGone).with_detail(hub.gone(&addr)))
}

/// Refuses a call that would wait behind another one, where as much waits as may.
pub(super) fn refuse_held(hub: &Hub, call: ArrivedCall) {
    let error = node_error(hub, Code::MailboxFull);
    let error = error.with_detail("too much waits behind a large body or a full mailbox");
    refuse(hub, call.interface, call.method, call.arrival, error);
}

/// Answers a call that reached no mailbox.
pub(super) fn refuse(
    hub: &Hub,
    interface: InterfaceId,
    method: MethodId,
    arrival: Arrival,
    error: CallError,
) {
    hub.count_refused(interface, method, error.code());
    arrival.fail(error);
}

/// How often a send that finds no room looks again without a pause, as the turns of its target go on.
const LOOKS_AT_ONCE: u32 = 8;

/// How long a send that finds no room pauses then, before it looks again. The pause doubles.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The longest pause: many targets that are all slow must not cost much.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(16);
