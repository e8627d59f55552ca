//! A call to a peer: header and arguments go straight into the lane's buffer, the reply comes back
//! by the call's number.
//!
//! The common case is `open` a place, `append` the frame, await the reply. Arguments that are too
//! long for a lane, and items in either direction, take a stream of their own; the frame on the
//! lane still announces the call, so that it keeps its turn.

use std::{
    future::{Future, pending, poll_fn},
    mem,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, CallId},
    time::Time,
    wire::{
        EncodeError,
        header::{Call as CallFrame, Target},
    },
};
use tokio::sync::oneshot;

use crate::{
    cluster::group_of,
    env::Bug,
    net::{AppendError, RecvStream, SendStream, StreamError, StreamFor, Ticket},
};

use super::{
    attempts::{Answered, Items, Plan, Watch},
    codec::{self, Encoded, Encoding},
    face::FaceMethod,
    inflow::Inflow,
    interface::{Alive, Interface, Method, Shape, WireAnswer},
    outgoing::{self, AnnounceError, append, header},
    pending::{NO_CALL, NotOpened, Returned},
    placed::Tenure,
    reference::{Address, Ref},
    session::Session,
    settle::{lost, settle},
    stream::{RemoteSink, pump},
    turnstile::Turn,
};

/// Makes one attempt of a call at a peer, which begins at `started`; one of a key goes by this `tenure`.
pub(super) async fn call<M: Method>(
    session: &Arc<Session>,
    plan: &Plan<'_>,
    target: &Ref<M::Interface>,
    args: &mut M::Args,
    items: &mut Option<Items<M::Inbound>>,
    (started, tenure): (Time, Option<Tenure>),
) -> Result<Answered<M>, CallError> {
    let method = plan.face.method(M::INDEX)?;
    let target = target_of(plan, method, target)?;
    let of_service = target == Target::Service;
    if !matches!(target, Target::Spawned { .. }) {
        session.agrees(&plan.face, M::INDEX)?;
    }
    let options = &plan.spec.options;
    let streamed = options.streams_args || (options.streams_reply && plan.wants_reply);
    let sent = || Answered {
        answer: None,
        at: started,
    };
    if !streamed
        && !plan.wants_reply
        && send_at_once::<M>(session, plan, (target, tenure), args, started)
    {
        return Ok(sent());
    }
    let mut open = open(plan, session, &target, (started, tenure)).await?;
    let at_once = match streamed {
        true => None,
        false => announce_at_once::<M>(session, plan, open.at(target), args, started),
    };
    open.known = at_once.is_some();
    let begun = match at_once {
        Some(ticket) => Begun::whole(ticket),
        // Apart, so that the common case has no place for streams and queues.
        None => {
            let parts = Parts { args, items };
            Box::pin(begin::<M>(&mut open, plan, target, parts, streamed)).await?
        }
    };
    if !plan.wants_reply {
        open.over = true;
        session.pending.close(open.id);
        return Ok(sent());
    }
    let returned = match begun.early {
        Some(returned) => returned,
        None => reply(plan, &open, at_once.is_some()).await,
    };
    let (settled, now) = body_of(plan, session, &begun.ticket, returned, of_service).await;
    open.over = true;
    let body = settled?;
    let answer = WireAnswer {
        body,
        frames: begun.frames,
        hub: plan.hub,
        method,
    };
    let answer = M::Shape::receive::<M::Reply>(answer)?;
    Ok(Answered {
        answer: Some(M::Shape::keep_alive(answer, begun.alive)),
        at: now,
    })
}

/// Sends without a place in the table, if there is room; returns whether it did.
fn send_at_once<M: Method>(
    session: &Session,
    plan: &Plan<'_>,
    (target, tenure): (Target<'_>, Option<Tenure>),
    args: &M::Args,
    started: Time,
) -> bool {
    let at = At {
        id: NO_CALL,
        lane: outgoing::lane(plan.hub, session, &plan.meta, &target, plan.face.id),
        target,
        tenure,
    };
    announce_at_once::<M>(session, plan, at, args, started).is_some()
}

/// Turns what came back into the reply's bytes; returns when they were there.
async fn body_of(
    plan: &Plan<'_>,
    session: &Arc<Session>,
    ticket: &Ticket,
    returned: Returned,
    of_service: bool,
) -> (Result<Encoding<'static>, CallError>, Time) {
    match returned {
        Returned::Body(body, at) => (Ok(body.into()), at),
        Returned::TooLate => {
            // Whoever polls the call finds that it is due, and drops it as for any other deadline.
            plan.watch(Watch::Due);
            pending().await
        }
        other => {
            let settled = settle(
                plan.hub,
                plan.spec,
                session,
                ticket,
                other,
                of_service,
                plan.allowed(),
            );
            (Box::pin(settled).await, plan.hub.now())
        }
    }
}

/// Takes a place in the table of calls.
async fn open<'a>(
    plan: &Plan<'_>,
    session: &'a Arc<Session>,
    target: &Target<'_>,
    (started, tenure): (Time, Option<Tenure>),
) -> Result<Open<'a>, CallError> {
    let due = outgoing::due(plan.hub, plan.spec, &plan.meta);
    let (times, life) = ((started, due), tenure.map(|it| it.life));
    let opened = poll_fn(|cx| Poll::Ready(session.pending.open(times, life, cx.waker()))).await;
    Ok(Open {
        session,
        id: opened.map_err(|refusal| not_opened(plan, session, refusal))?,
        lane: outgoing::lane(plan.hub, session, &plan.meta, target, plan.face.id),
        tenure,
        known: false,
        over: false,
    })
}

/// Waits for what comes back. Meanwhile the table looks at the deadline; `just_opened` says that the
/// call's place was taken in this very poll, so that the waker that it has is the right one.
async fn reply(plan: &Plan<'_>, open: &Open<'_>, just_opened: bool) -> Returned {
    let mut looks = !just_opened;
    plan.watch(Watch::Table);
    let returned = poll_fn(|cx| match mem::replace(&mut looks, true) {
        true => open.session.pending.poll(open.id, cx),
        false => Poll::Pending,
    })
    .await;
    plan.watch(Watch::Alarm);
    returned
}

/// What a call takes with it.
struct Parts<'a, M: Method> {
    args: &'a mut M::Args,
    items: &'a mut Option<Items<M::Inbound>>,
}

/// A call that is under way with all that it took.
struct Begun {
    ticket: Ticket,
    /// What came back before the call's stream was open.
    early: Option<Returned>,
    frames: Option<Inflow>,
    alive: Alive,
}

impl Begun {
    /// Makes a call that took nothing apart from its frame.
    fn whole(ticket: Ticket) -> Self {
        Self {
            ticket,
            early: None,
            frames: None,
            alive: None,
        }
    }
}

/// Announces a call that waits for room, or that has a stream, and sends what goes on the stream.
async fn begin<M: Method>(
    open: &mut Open<'_>,
    plan: &Plan<'_>,
    target: Target<'_>,
    parts: Parts<'_, M>,
    streamed: bool,
) -> Result<Begun, CallError> {
    let session = open.session;
    let announced = announce::<M>(open, plan, target, parts.args, streamed).await?;
    plan.left.store(true, Ordering::Relaxed);
    let (mut stream, mut early) = (announced.stream, None);
    if stream.is_none() && (streamed || announced.apart.is_some()) {
        let large = announced.apart.as_ref().map(|_| target);
        (stream, early) = stream_or_reply(plan, open, &announced.ticket, large).await?;
    }
    let (frames, alive) = match stream {
        Some(stream) => {
            let items = parts.items.take();
            feed::<M>(plan, session, stream, announced.apart, items).await
        }
        None => (None, None),
    };
    Ok(Begun {
        ticket: announced.ticket,
        early,
        frames,
        alive,
    })
}

/// Opens the stream of a call that was announced, unless the reply comes first: the host may refuse
/// the call, or answer it, without its stream. Returns one of the two.
async fn stream_or_reply<'a>(
    plan: &Plan<'_>,
    open: &Open<'a>,
    ticket: &Ticket,
    large: Option<Target<'_>>,
) -> Result<(Option<OpenStream<'a>>, Option<Returned>), CallError> {
    let reply = poll_fn(|cx| open.session.pending.poll(open.id, cx));
    tokio::select! {
        biased;
        returned = reply, if plan.wants_reply => Ok((None, Some(returned))),
        opened = OpenStream::of(plan, open.session, open.id, large) => match opened {
            Ok(stream) => Ok((Some(stream), None)),
            Err(error) => Err(lost(plan.spec, open.session, ticket, &error.to_string())),
        }
    }
}

/// The stream of a call.
struct OpenStream<'a> {
    send: SendStream,
    recv: RecvStream,
    /// Until large arguments are written.
    turn: Option<Turn<'a>>,
}

impl<'a> OpenStream<'a> {
    /// Opens it, for large arguments to a target when it is their turn.
    async fn of(
        plan: &Plan<'_>,
        session: &'a Session,
        call: CallId,
        large: Option<Target<'_>>,
    ) -> Result<Self, StreamError> {
        let sender = plan.meta.caller.actor.map_or(0, |actor| actor.actor.0);
        let turn = match large {
            Some(target) => Some(session.turn_to_write(sender, &target).await),
            None => None,
        };
        let (send, recv) = session.link.open_stream(call, StreamFor::Call).await?;
        Ok(Self { send, recv, turn })
    }
}

/// A call that has a place in the session's table; dropping it frees the place here and on the host.
struct Open<'a> {
    session: &'a Arc<Session>,
    id: CallId,
    lane: usize,
    tenure: Option<Tenure>,
    /// Whether the host has heard of the call, on the lane or by its stream.
    known: bool,
    over: bool,
}

impl Open<'_> {
    fn at<'t>(&self, target: Target<'t>) -> At<'t> {
        At {
            id: self.id,
            lane: self.lane,
            target,
            tenure: self.tenure,
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        if !self.session.hub.env().plant.strikes(Bug::LeakedSlot) {
            self.session.pending.close(self.id);
        }
        self.session.reply_streams.forget(self.id);
        if self.known && !self.session.hub.env().plant.strikes(Bug::LostCancel) {
            self.session.cancel(self.lane, self.id);
        }
    }
}

/// A call whose frame is in the lane's buffer.
struct Announced<'a> {
    ticket: Ticket,
    /// The encoded arguments, when they are too long for the lane.
    apart: Option<Encoded>,
    /// The stream for them, when it was opened first.
    stream: Option<OpenStream<'a>>,
}

/// Where a call goes, and its number there.
#[derive(Clone, Copy)]
struct At<'a> {
    id: CallId,
    lane: usize,
    target: Target<'a>,
    tenure: Option<Tenure>,
}

/// Appends the call's frame with its arguments, if nobody waits for room and it fits.
fn announce_at_once<M: Method>(
    session: &Session,
    plan: &Plan<'_>,
    at: At<'_>,
    args: &M::Args,
    now: Time,
) -> Option<Ticket> {
    let is_held_back = plan.hub.env().plant.buggify("a-call-waits-for-room");
    if is_held_back || !session.turnstile(at.lane).is_free() {
        return None;
    }
    let frame = CallFrame {
        id: at.id,
        target: at.target,
        epoch: outgoing::epoch(session, at.tenure),
        deadline_left: plan.meta.deadline.saturating_since(now),
        ..header(&plan.meta, &plan.face, plan.spec, !plan.wants_reply)
    };
    let appended = append(plan.hub, &session.link, at.lane, frame, Some(args));
    // What is wrong with it is found out again, and told, by the way that waits.
    let ticket = appended.ok()?;
    plan.left.store(true, Ordering::Relaxed);
    Some(ticket)
}

/// Appends the call's frame, waiting for room if need be.
///
/// From its frame to the end of its body a call holds its pair on the host. So outside actors,
/// where all calls of the node for a target are one pair, the wait for a stream comes before the
/// frame. An actor's call waits after it: it holds up nobody but its own actor, whose calls
/// arrive in the order made even when there is no stream for one.
async fn announce<'a, M: Method>(
    open: &mut Open<'a>,
    plan: &Plan<'_>,
    target: Target<'_>,
    args: &mut M::Args,
    streamed: bool,
) -> Result<Announced<'a>, CallError> {
    let session = open.session;
    let link = &session.link;
    let mut frame = CallFrame {
        id: open.id,
        target,
        epoch: outgoing::epoch(session, open.tenure),
        streamed,
        ..header(&plan.meta, &plan.face, plan.spec, !plan.wants_reply)
    };
    let mut apart = None;
    let mut stream = None;
    let turnstile = session.turnstile(open.lane);
    let waits_for_room = |waits| plan.waits_for_room.store(waits, Ordering::Relaxed);
    let mut front = None;
    loop {
        if front.is_none() && !turnstile.is_free() {
            waits_for_room(true);
            front = Some(turnstile.enter().await);
        }
        if front.is_some() && !plan.wants_reply && target_moves(plan, open, &target) {
            let detail = "its slot went on its way while it waited for room";
            return Err(plan.spec.error(Code::Moved).with_detail(detail));
        }
        frame.deadline_left = plan.meta.deadline.saturating_since(plan.hub.now());
        let inline = apart.is_none().then_some(&*args);
        match append(plan.hub, link, open.lane, frame, inline) {
            Ok(ticket) => {
                open.known = true;
                return Ok(Announced {
                    ticket,
                    apart,
                    stream,
                });
            }
            Err(AppendError::Full) => {
                waits_for_room(true);
                match front {
                    None => front = Some(turnstile.enter().await),
                    Some(_) => link.writable(open.lane).await,
                }
            }
            Err(
                AppendError::Encode(AnnounceError::Body(EncodeError::TooLarge { .. }))
                | AppendError::TooLarge { .. },
            ) if apart.is_none() => {
                apart = Some(codec::encode_apart(
                    &*args,
                    session.body_bytes_max(),
                    plan.spec,
                )?);
                if frame.sender == 0 {
                    waits_for_room(false);
                    stream = Some(stream_first(open, plan, target, &mut front).await?);
                }
            }
            Err(error) => return Err(not_announced(plan, session, error)),
        }
    }
}

/// Returns whether the slot of a keyed target is not where it was when the session was chosen, or was elsewhere since, or is
/// on its way from there. This side may have said so: what it appends after that would come too late.
fn target_moves(plan: &Plan<'_>, open: &Open<'_>, target: &Target<'_>) -> bool {
    let (Target::Keyed(key), Some(ownership)) = (target, plan.hub.ownership()) else {
        return false;
    };
    let place = ownership.place(group_of(plan.face.id), key);
    place.is_some_and(|(_, entry)| {
        let is_there = entry.owner.is_some_and(|it| it.node == open.session.node());
        let is_same = open.tenure.is_none_or(|it| it.epoch == entry.epoch);
        !is_there || !is_same || !ownership.may_send(&entry)
    })
}

/// Opens the stream of a call with large arguments before its frame. The front of the queue is kept if the stream is there
/// at once, so that later calls of the same caller do not overtake this one, and is left if not, so
/// that nobody waits behind this one for its stream.
async fn stream_first<'a>(
    open: &mut Open<'a>,
    plan: &Plan<'_>,
    target: Target<'_>,
    front: &mut Option<Turn<'_>>,
) -> Result<OpenStream<'a>, CallError> {
    open.known = true;
    let session = open.session;
    let mut opening = pin!(OpenStream::of(plan, session, open.id, Some(target)));
    let at_once = poll_fn(|cx| Poll::Ready(opening.as_mut().poll(cx))).await;
    let opened = match at_once {
        Poll::Ready(opened) => opened,
        Poll::Pending => {
            *front = None;
            opening.await
        }
    };
    opened.map_err(|_| unreachable(plan, session))
}

/// Says why a frame was not appended.
fn not_announced(
    plan: &Plan<'_>,
    session: &Session,
    error: AppendError<AnnounceError>,
) -> CallError {
    let too_large = |detail: String| plan.spec.error(Code::BodyTooLarge).with_detail(detail);
    match error {
        AppendError::Encode(AnnounceError::Body(error)) => codec::encode_failed(plan.spec, &error),
        AppendError::Encode(AnnounceError::Frame(error)) => too_large(error.to_string()),
        AppendError::TooLarge { len, max } => {
            too_large(format!("a header of {len} bytes, of {max} allowed"))
        }
        AppendError::Down | AppendError::Full => unreachable(plan, session),
    }
}

/// Writes what goes with the call on its own stream; returns where the peer writes, and what keeps the
/// items flowing.
async fn feed<M: Method>(
    plan: &Plan<'_>,
    session: &Session,
    stream: OpenStream<'_>,
    apart: Option<Encoded>,
    items: Option<Items<M::Inbound>>,
) -> (Option<Inflow>, Alive) {
    let OpenStream {
        mut send,
        recv,
        turn,
    } = stream;
    if let Some(body) = apart {
        // A host that refuses the call stops reading; its reply says why.
        let _ = send.write_frame(body.into_frame()).await;
    }
    drop(turn);
    let frames = Some(Inflow::new(recv, session));
    let Some(items) = items else {
        send.finish();
        return (frames, None);
    };
    let (alive, broken) = oneshot::channel::<()>();
    let sink = RemoteSink::new(send, session.body_bytes_max(), plan.spec);
    let spec = plan.spec;
    let wants_reply = plan.wants_reply;
    plan.hub.tasks().spawn("stream-items", async move {
        let pump = pump(items, sink, spec, None, None);
        tokio::select! {
            biased;
            _ = broken, if wants_reply => {}
            () = pump => {}
        }
    });
    (frames, Some(alive))
}

fn target_of<'a, I: Interface>(
    plan: &Plan<'_>,
    method: &FaceMethod,
    target: &'a Ref<I>,
) -> Result<Target<'a>, CallError> {
    match target.address() {
        Address::Service => Ok(Target::Service),
        Address::Spawned(addr) => {
            check_chain(plan, *addr)?;
            Ok(Target::Spawned {
                incarnation: addr.incarnation,
                actor: addr.actor,
                shape: method.shape(),
            })
        }
        Address::Keyed(key) => target.key_bytes(key, plan.spec).map(Target::Keyed),
    }
}

fn check_chain(plan: &Plan<'_>, addr: ActorAddr) -> Result<(), CallError> {
    if plan.meta.chain.contains(addr) {
        return Err(super::scope::cycle(plan.hub, &plan.meta, plan.spec, addr));
    }
    Ok(())
}

fn not_opened(plan: &Plan<'_>, session: &Session, refusal: NotOpened) -> CallError {
    match refusal {
        NotOpened::Full => plan
            .spec
            .error_on(Code::TooManyInFlight, &session.peer_name()),
        NotOpened::Over => unreachable(plan, session),
    }
}

fn unreachable(plan: &Plan<'_>, session: &Session) -> CallError {
    plan.spec
        .error_on(Code::PeerUnreachable, &session.peer_name())
        .with_detail("its link has just ended")
}
