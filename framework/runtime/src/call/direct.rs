//! A call straight to an actor or a service on a peer: one look for its route, no stream of its own.
//!
//! It is what most remote calls are, so it has no future of its own to be boxed: the frame is appended
//! when the call is first polled, and the table of calls looks at the deadline. Whatever does not go
//! this way at once goes the way of `client`'s attempts, which finds out what is wrong and says so; an
//! attempt at a service or a key that failed goes on there.

use std::{
    future::Future,
    marker::PhantomData,
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use callboard_protocol::{
    code::CallError,
    id::{CallId, NodeId},
    time::Time,
    wire::header::{Call as CallFrame, Target},
};
use futures_util::future::{Either, select};

use crate::{env::Bug, net::Ticket};

use super::{
    attempts::ran_out,
    client::Request,
    codec::Encoding,
    deadline::Alarm,
    face::Face,
    hub::Hub,
    interface::{Answer, Method, MethodSpec, Shape, WireAnswer},
    kind::Kind,
    meta::Meta,
    outgoing,
    pending::{NO_CALL, Returned},
    placed::{Tenure, owner},
    reference::Address,
    route::{CellIn, drawn, session_of_owner},
    session::Session,
    settle::settle,
};

/// The straight way of one call.
struct Way<'a> {
    hub: &'a Arc<Hub>,
    session: Arc<Session>,
    face: Arc<Face>,
    target: Target<'a>,
    /// The ownership that it goes by, of a call of a key.
    tenure: Option<Tenure>,
    lane: usize,
}

/// Finds the way of a call to an actor or a service of a linked peer, which needs no span and no stream.
fn way<'a, M: Method>(request: &'a Request<M>, meta: &Meta, wants_reply: bool) -> Option<Way<'a>> {
    let (spec, target) = (M::spec(), &request.target);
    let options = &spec.options;
    let streams = options.streams_args || options.streams_reply || request.inbound.is_some();
    if streams || meta.is_sampled() {
        return None;
    }
    let hub = target.hub(spec).ok()?;
    if hub.env().plant.buggify("a-call-waits-for-room") {
        return None;
    }
    let face = target.face(spec).ok()?;
    let (session, target, tenure) = match target.address() {
        Address::Spawned(addr) => {
            if meta.chain.contains(*addr) || addr.node == hub.me().id {
                return None;
            }
            let spawned = Target::Spawned {
                incarnation: addr.incarnation,
                actor: addr.actor,
                shape: face.methods.get(M::INDEX)?.shape(),
            };
            (target.session(addr.node)?, spawned, None)
        }
        // The node's own, if it has one, comes first.
        Address::Service if face.local::<CellIn<M::Interface>>().is_some() => return None,
        Address::Service => {
            let sessions = hub.sessions();
            let session = drawn(hub, &face, M::INDEX, &sessions, meta.queued_at)?;
            (session.clone(), Target::Service, None)
        }
        Address::Keyed(key) => {
            let bytes = target.key_bytes(key, spec).ok()?;
            let (ownership, asks) = (hub.ownership()?, (spec, wants_reply));
            let place = owner(ownership, face.id, bytes, asks).ok()?;
            let (slot, owner, _) = place;
            if owner.node == hub.me().id {
                return None;
            }
            let session = session_of_owner(target, hub, (spec, face.name), (slot, owner)).ok()?;
            session.agrees(&face, M::INDEX).ok()?;
            (session, Target::Keyed(bytes), Some(Tenure::of(place)))
        }
    };
    let lane = outgoing::lane(hub, &session, meta, &target, face.id);
    session.turnstile(lane).is_free().then_some(Way {
        hub,
        session,
        face,
        target,
        tenure,
        lane,
    })
}

impl Way<'_> {
    /// Returns what the call is addressed as: the service of one node alone is, as a spawned actor.
    fn kind(&self) -> Kind {
        match self.target {
            Target::Service => Kind::Service,
            Target::Spawned { .. } => Kind::Spawned,
            Target::Keyed(_) => Kind::Keyed,
        }
    }

    /// Appends the frame of a call, unless there is no room for it or something is wrong with it.
    fn append<M: Method>(&self, id: CallId, meta: &Meta, args: &M::Args) -> Option<Ticket> {
        let send = id == NO_CALL;
        let frame = CallFrame {
            id,
            target: self.target,
            epoch: outgoing::epoch(&self.session, self.tenure),
            deadline_left: meta.deadline.saturating_since(meta.queued_at),
            ..outgoing::header(meta, &self.face, M::spec(), send)
        };
        let link = &self.session.link;
        outgoing::append(self.hub, link, self.lane, frame, Some(args)).ok()
    }
}

/// Makes a call, if it goes straight to its target.
///
/// The call is borrowed: it is large, and most of it is not needed once its frame is in the lane.
pub(super) fn begin<M: Method>(
    request: &Request<M>,
    meta: &Meta,
    cx: &Context<'_>,
) -> Option<Direct<M>> {
    let way = way::<M>(request, meta, true)?;
    let due = outgoing::due(way.hub, M::spec(), meta);
    let opened = way.session.pending.open(
        (meta.queued_at, due),
        way.tenure.map(|it| it.life),
        cx.waker(),
    );
    let mut place = Place {
        session: &way.session,
        id: opened.ok()?,
        kept: false,
    };
    let ticket = way.append::<M>(place.id, meta, &request.args)?;
    place.kept = true;
    let id = place.id;
    drop(place);
    let kind = way.kind();
    if kind == Kind::Service {
        way.hub.count_call(meta.queued_at);
    }
    if let Some(method) = way.face.methods.get(M::INDEX) {
        method.metrics.began();
    }
    Some(Direct {
        session: way.session,
        face: way.face,
        id,
        lane: way.lane,
        ticket,
        queued_at: meta.queued_at,
        deadline: due,
        kind,
        looks: false,
        rest: None,
        over: false,
        method: PhantomData,
    })
}

/// The place of a call whose frame is not in the lane yet; dropping it, also while its arguments' own
/// code panics, frees the place.
struct Place<'a> {
    session: &'a Session,
    id: CallId,
    kept: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.session.pending.close(self.id);
        }
    }
}

/// Sends a message, if it goes straight to its target; returns whether it did.
pub(super) fn send<M: Method>(request: &Request<M>, meta: &Meta) -> bool {
    let Some(way) = way::<M>(request, meta, false) else {
        return false;
    };
    if way.append::<M>(NO_CALL, meta, &request.args).is_none() {
        return false;
    }
    if way.kind() == Kind::Service {
        way.hub.count_call(meta.queued_at);
    }
    if let Some(method) = way.face.methods.get(M::INDEX) {
        method.metrics.sent(None);
    }
    true
}

/// A call whose frame is in the lane. Dropping it frees its place here and on the host.
pub(super) struct Direct<M: Method> {
    session: Arc<Session>,
    face: Arc<Face>,
    id: CallId,
    lane: usize,
    ticket: Ticket,
    queued_at: Time,
    deadline: Time,
    kind: Kind,
    /// Whether the table is to be looked at: not in the poll that entered the call.
    looks: bool,
    /// What is left to do for what came back; few calls need it.
    rest: Option<Rest>,
    over: bool,
    method: PhantomData<fn() -> M>,
}

/// What became of a call that went straight to its target.
pub(super) enum Came<M: Method> {
    /// It is over, and has been counted.
    Back(Result<Answer<M>, CallError>),
    /// It is one of a service or a key and failed at this node: another attempt may be made.
    Failed(NodeId, CallError),
}

/// Nothing if the call is too late.
type Rest = Pin<Box<dyn Future<Output = Option<Result<Encoding<'static>, CallError>>> + Send>>;

impl<M: Method> Direct<M> {
    /// Becomes ready with the reply, or with what the deadline makes of the call.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Came<M>> {
        if !mem::replace(&mut self.looks, true) {
            return Poll::Pending;
        }
        let rest = match &mut self.rest {
            Some(rest) => rest,
            none => match ready!(self.session.pending.poll(self.id, cx)) {
                Returned::Body(body, at) => {
                    return Poll::Ready(Came::Back(self.ended(Ok(body.into()), at)));
                }
                other => {
                    let settled = settle_by(
                        self.session.clone(),
                        M::spec(),
                        self.ticket,
                        other,
                        self.kind == Kind::Service,
                        (self.queued_at, self.deadline),
                    );
                    none.insert(Box::pin(settled))
                }
            },
        };
        let settled = ready!(rest.as_mut().poll(cx));
        match &settled {
            None => self.cancel(),
            Some(Err(error)) if self.kind != Kind::Spawned => {
                self.over = true;
                return Poll::Ready(Came::Failed(self.session.node(), error.clone()));
            }
            Some(_) => {}
        }
        let hub = &self.session.hub;
        let settled = settled.unwrap_or_else(|| {
            let within = self.deadline.saturating_since(self.queued_at);
            Err(ran_out(hub, M::spec(), true, within, Some(&self.session)))
        });
        let now = hub.now();
        Poll::Ready(Came::Back(self.ended(settled, now)))
    }

    /// Decodes the reply and counts the end of the call.
    fn ended(
        &mut self,
        reply: Result<Encoding<'static>, CallError>,
        at: Time,
    ) -> Result<Answer<M>, CallError> {
        self.over = true;
        let hub = &self.session.hub;
        let method = self.face.method(M::INDEX)?;
        let answer = reply.and_then(|body| {
            let answer = M::Shape::receive::<M::Reply>(WireAnswer {
                body,
                frames: None,
                hub,
                method,
            })?;
            Ok(M::Shape::keep_alive(answer, None))
        });
        let code = answer.as_ref().err().map(CallError::code);
        let took = at.saturating_since(self.queued_at);
        method.metrics.ended(code, took);
        answer
    }

    /// Frees the call's place here and on the host.
    fn cancel(&self) {
        let (session, plant) = (&self.session, &self.session.hub.env().plant);
        if !plant.strikes(Bug::LeakedSlot) {
            session.pending.close(self.id);
        }
        session.reply_streams.forget(self.id);
        if !plant.strikes(Bug::LostCancel) {
            session.cancel(self.lane, self.id);
        }
    }
}

impl<M: Method> Drop for Direct<M> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.cancel();
        if let Some(method) = self.face.methods.get(M::INDEX) {
            method.metrics.dropped();
        }
    }
}

/// Turns what came back into the reply's bytes; nothing if the call is too late for that.
async fn settle_by(
    session: Arc<Session>,
    spec: &'static MethodSpec,
    ticket: Ticket,
    returned: Returned,
    of_service: bool,
    (queued_at, deadline): (Time, Time),
) -> Option<Result<Encoding<'static>, CallError>> {
    if matches!(returned, Returned::TooLate) {
        return None;
    }
    let hub = &session.hub;
    let within = deadline.saturating_since(queued_at);
    let settled = pin!(settle(
        hub, spec, &session, &ticket, returned, of_service, within
    ));
    match select(settled, Alarm::new(hub.deadlines(), deadline)).await {
        Either::Left((settled, _)) => Some(settled),
        Either::Right(((), _)) => None,
    }
}
