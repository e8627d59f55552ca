//! The host's side of a call: from a frame on a lane to a message in a mailbox, and the reply back.
//!
//! `frame` → [`Receiver::call`] → `hold` (order) → [`dispatch`] → [`Hosted::accept`] → mailbox.
//! Everything up to the mailbox runs where the bytes arrive and does not wait.

use std::{
    any::Any,
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, CallId, InterfaceId, MethodId, NodeId, NodeName},
    time::Time,
    wire::header::{Body, Call as CallFrame, Down, DownReason, Frame, Reply, Target, Watch},
};
use futures_util::future::BoxFuture;

use crate::{
    actor::{Cell, Child, Ended, Guardian},
    env::Bug,
    net::{Frames, Intake, Link, LinkDown, RecvStream, SendStream, StreamFor},
};

use super::{
    arrival::Arrival,
    codec::Encoding,
    dispatch::{dispatch, receive_bodies, refuse, refuse_held},
    envelope::Incoming,
    hold::{Held, Ordered},
    hub::Hub,
    interface::Interface,
    meta::{Caller, Meta, Queued},
    pending::Returned,
    scope::Chain,
    served::NotEntered,
    session::Session,
    streams::{STRAY_MAX, Streams},
};

/// What takes calls: a service, a spawned actor, or the directory of a keyed one.
pub(crate) trait Hosted: Send + Sync + fmt::Debug + 'static {
    /// Decodes the call and puts it into a mailbox; `arrival` is told how to take it out again.
    ///
    /// # Errors
    /// Why it was not put there; the handler does not run.
    fn accept(
        self: Arc<Self>,
        method: MethodId,
        incoming: Incoming<'_>,
        meta: Meta,
        arrival: &Arrival,
    ) -> Result<(), CallError>;
    /// Returns the interface.
    fn interface(&self) -> InterfaceId;
    /// Returns the typed cell, for callers in this process.
    fn cell(&self) -> Option<Arc<dyn Any + Send + Sync>>;
    /// Returns the child and its guardian, of a spawned actor.
    fn supervised(&self) -> Option<Supervised>;
    /// Returns how many messages wait.
    fn depth(&self) -> usize;
    /// Returns whether it takes messages, and has no room for one now.
    fn is_full(&self) -> bool;
    /// Returns the definition's name.
    fn name(&self) -> &'static str;
    /// Waits until the actor will not run again.
    fn wait_ended(&self) -> BoxFuture<'static, Ended>;
    /// Returns the keys of what is addressed by key.
    fn keys(&self) -> Option<&dyn Keys>;
}

/// The activations behind the keys of a type. A key of another type has none.
pub(crate) trait Keys {
    /// Returns the number of the key's activation, also of one that was given up.
    fn find(&self, key: &dyn Any) -> Option<ActorId>;
    /// Forgets an activation that has ended.
    fn forget(&self, key: &dyn Any, actor: ActorId);
}

/// A child and who supervises it.
pub(crate) type Supervised = (Guardian, Arc<dyn Child>);

/// Finds or makes the activation of a key.
pub(crate) trait Directory<I: Interface>: Send + Sync {
    /// Returns the cell of the key's activation.
    ///
    /// # Errors
    /// Why there can be none now.
    fn activation(&self, key: &I::Key) -> Result<Arc<Cell<Queued<I::Msg>>>, CallError>;
}

/// A call's frame, taken apart, with its body or a place for it.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) call: ArrivedCall,
    /// Nothing while the body is still on its stream.
    pub(super) body: Option<Encoding<'static>>,
}

/// A call's frame without its body.
#[derive(Debug)]
pub(super) struct ArrivedCall {
    pub(super) pair: Pair,
    pub(super) interface: InterfaceId,
    pub(super) method: MethodId,
    /// What the caller takes the method's types for, if the hello did not settle it.
    pub(super) shape: Option<u64>,
    pub(super) meta: Meta,
    pub(super) arrival: Arrival,
}

/// Who sent a frame and what it is for: what the order of frames is kept for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    /// The actor that calls, by its number on its node; 0 outside actors.
    sender: u64,
    pub(super) target: HeldTarget,
}

/// What a frame is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HeldTarget {
    Service(InterfaceId),
    Keyed(InterfaceId, Box<[u8]>),
    Spawned(ActorAddr),
}

impl Ordered for Arrived {
    type Pair = Pair;

    fn pair(&self) -> &Pair {
        &self.call.pair
    }

    fn cost(&self) -> usize {
        std::mem::size_of::<Self>() + self.body.as_ref().map_or(0, Encoding::len)
    }

    fn is_whole(&self) -> bool {
        self.body.is_some()
    }
}

/// Brings the links of a node together with their sessions.
#[derive(Debug)]
pub(crate) struct Gate {
    hub: Arc<Hub>,
    receivers: RwLock<BTreeMap<u64, Arc<Receiver>>>,
}

impl Gate {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            receivers: RwLock::default(),
        }
    }

    fn receiver(&self, link: &Link) -> Option<Arc<Receiver>> {
        let receivers = self
            .receivers
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        receivers.get(&link.session()).cloned()
    }
}

impl Frames for Gate {
    fn link_up(&self, link: &Arc<Link>) {
        let receiver = Arc::new(Receiver(self.hub.session_up(link)));
        let mut receivers = self
            .receivers
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        receivers.insert(link.session(), receiver);
    }

    fn link_down(&self, link: &Arc<Link>, why: &LinkDown) {
        let receiver = {
            let mut receivers = self
                .receivers
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            receivers.remove(&link.session())
        };
        if let Some(receiver) = receiver {
            self.hub.session_down(&receiver.0, why);
        }
    }

    fn link_refused(&self, id: NodeId, name: &NodeName, why: &LinkDown) {
        self.hub.names().parted(id, name, why);
    }

    fn intake(&self, link: &Arc<Link>) -> Option<Arc<dyn Intake>> {
        Some(self.receiver(link)?)
    }

    fn stream(
        &self,
        link: &Arc<Link>,
        call: CallId,
        purpose: StreamFor,
        send: SendStream,
        recv: RecvStream,
    ) {
        let Some(receiver) = self.receiver(link) else {
            return;
        };
        let session = &receiver.0;
        let streams: fn(&Session) -> &Streams = match purpose {
            StreamFor::Call => |session| &session.streams,
            StreamFor::Reply => |session| &session.reply_streams,
        };
        match streams(session).accepted(call, send, recv, self.hub.now()) {
            Ok(true) => {
                let sweep = sweep(session.clone(), streams);
                self.hub.tasks().spawn("stray-streams", sweep);
            }
            Ok(false) => {}
            Err(_) => link.close(used_twice(call)),
        }
    }
}

/// Takes in the frames of one session.
#[derive(Debug)]
struct Receiver(Arc<Session>);

impl Intake for Receiver {
    fn now(&self) -> Time {
        self.0.hub.now()
    }

    fn is_heavy(&self) -> bool {
        self.0.holds.is_heavy()
    }

    fn light(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.holds.light())
    }

    fn frame(&self, lane: usize, frame: &[u8], memory: &Bytes, now: Time) -> Result<(), LinkDown> {
        let frame =
            Frame::decode(frame).map_err(|error| LinkDown::new(error.code(), error.to_string()))?;
        match frame {
            Frame::Call(call) => self.call(lane, &call, now)?,
            Frame::Reply(reply) => self.reply(memory, reply, now)?,
            Frame::Cancel(id) => self.cancel(id),
            Frame::Watch(watch) => self.watch(lane, watch)?,
            Frame::Down(down) => self.0.watches.complete(down.id, down.reason),
            _ => {}
        }
        Ok(())
    }
}

impl Receiver {
    /// # Errors
    /// When the number of the call is in use: what comes later could not be told apart.
    fn call(&self, lane: usize, call: &CallFrame<'_>, now: Time) -> Result<(), LinkDown> {
        let session = &self.0;
        let hub = &session.hub;
        let on_stream = call.body == Body::OnStream;
        let most = hub.call_limits().served_max;
        let stream = (call.streamed || on_stream).then(|| session.streams.expect(call.id, most));
        let (stream, mut entered) = match stream.transpose() {
            Ok(stream) => (stream, Ok(())),
            Err(refusal) => (None, Err(refusal)),
        };
        let arrival = Arrival::new(session.clone(), call.id, lane, !call.send, stream);
        if hub.is_stopping() {
            let error = node_error(hub, Code::NodeStopping);
            refuse(hub, call.interface, call.method, arrival, error);
            return Ok(());
        }
        if !call.send && entered.is_ok() {
            entered = session.serve(&arrival.0);
        }
        match entered {
            Ok(()) => self.admit(call, now, arrival),
            Err(NotEntered::Twice) => return Err(used_twice(call.id)),
            Err(NotEntered::Full) => {
                let error = node_error(hub, Code::MailboxFull);
                let detail = "too many calls of this peer wait or run";
                let error = error.with_detail(detail);
                refuse(hub, call.interface, call.method, arrival, error);
            }
        }
        Ok(())
    }

    /// Hands a call on, unless its pair is held.
    fn admit(&self, call: &CallFrame<'_>, now: Time, arrival: Arrival) {
        let session = &self.0;
        let hub = &session.hub;
        let arrived = ArrivedCall {
            pair: pair(hub, call),
            interface: call.interface,
            method: call.method,
            shape: match call.target {
                Target::Spawned { shape, .. } => Some(shape),
                Target::Service | Target::Keyed(_) => None,
            },
            meta: meta(session, call, now),
            arrival,
        };
        match call.body {
            // The common case: the arguments are read where they lie.
            Body::Inline(body) if session.holds.is_empty() => self.hand(arrived, body),
            // What waits must not keep the whole of what was received with it.
            Body::Inline(body) => self.pass(arrived, Some(Bytes::copy_from_slice(body).into())),
            Body::OnStream => self.pass(arrived, None),
        }
    }

    /// Hands a call to its target. A send that finds no room there holds its pair until there is.
    fn hand(&self, call: ArrivedCall, body: &[u8]) {
        let (session, hub) = (&self.0, &self.0.hub);
        let Some(call) = dispatch(hub, call, &mut Encoding::Lent(body)) else {
            return;
        };
        let body = Some(Bytes::copy_from_slice(body).into());
        match session.holds.hold(Arrived { call, body }) {
            Ok(arrived) => {
                let (session, cost) = (session.clone(), arrived.cost());
                hub.tasks().spawn("held-sends", async move {
                    receive_bodies(session.clone(), arrived).await;
                    session.holds.let_go(cost);
                });
            }
            Err(Arrived { call, .. }) => refuse_held(hub, call),
        }
    }

    /// Runs a call, or lets it wait for its body or behind another's.
    fn pass(&self, call: ArrivedCall, body: Option<Encoding<'static>>) {
        let session = &self.0;
        let hub = &session.hub;
        match session.holds.pass(Arrived { call, body }) {
            Held::Waits => {}
            Held::Full(Arrived { call, .. }) => refuse_held(hub, call),
            Held::Free(Arrived {
                call,
                body: Some(Encoding::Frame(body)),
            }) => self.hand(call, &body),
            Held::Free(arrived) => {
                hub.tasks()
                    .spawn("call-body", receive_bodies(session.clone(), arrived));
            }
        }
    }

    /// # Errors
    /// When the call of the reply has one already that waits for its stream.
    fn reply(&self, memory: &Bytes, reply: Reply<'_>, now: Time) -> Result<(), LinkDown> {
        let most = self.0.hub.call_limits().in_flight_max;
        let returned = match reply.outcome {
            Ok(Body::Inline(body)) => Returned::Body(memory.slice_ref(body), now),
            // Expected BEFORE the caller hears of it: one that is dropped in between still forgets it.
            Ok(Body::OnStream) => {
                let halves = self.0.reply_streams.expect(reply.id, most);
                Returned::OnStream(halves.map_err(|_| used_twice(reply.id))?)
            }
            Err(error) => Returned::Failed(error),
        };
        let on_stream = matches!(returned, Returned::OnStream(_));
        let id = if self.0.hub.env().plant.strikes(Bug::WrongReply) {
            self.0.pending.neighbour(reply.id)
        } else {
            reply.id
        };
        if !self.0.pending.complete(id, returned, now) && on_stream {
            // The caller is gone; the stream that follows must not wait for it.
            self.0.reply_streams.forget(reply.id);
        }
        Ok(())
    }

    fn cancel(&self, id: CallId) {
        self.0.streams.forget(id);
        if let Some(served) = self.0.served_ended(id) {
            served.cancel();
        }
    }

    /// # Errors
    /// When the number of the watch is in use.
    fn watch(&self, lane: usize, watch: Watch) -> Result<(), LinkDown> {
        let (session, hub) = (&self.0, &self.0.hub);
        let mine = watch.incarnation == hub.me().incarnation;
        let actor = if mine { hub.actor(watch.actor) } else { None };
        let Some(actor) = actor else {
            session.send_down(
                lane,
                Down {
                    id: watch.id,
                    reason: DownReason::Gone,
                },
            );
            return Ok(());
        };
        let arrival = Arrival::new(session.clone(), watch.id, lane, true, None);
        match session.serve(&arrival.0) {
            Ok(()) => {}
            Err(NotEntered::Twice) => return Err(used_twice(watch.id)),
            Err(NotEntered::Full) => {
                session.send_down(
                    lane,
                    Down {
                        id: watch.id,
                        reason: DownReason::Unrecognised,
                    },
                );
                return Ok(());
            }
        }
        let session = session.clone();
        hub.tasks().spawn("watch", async move {
            let ended = actor.wait_ended();
            tokio::select! {
                biased;
                why = ended => {
                    session.served_ended(watch.id);
                    session.send_down(lane, Down { id: watch.id, reason: super::watch::reason(why) });
                }
                () = arrival.cancelled() => {}
            }
        });
        Ok(())
    }
}

fn meta(session: &Session, call: &CallFrame<'_>, now: Time) -> Meta {
    let peer = session.link.peer();
    let actor = (call.sender != 0).then_some(ActorAddr {
        node: peer.id,
        incarnation: peer.incarnation,
        actor: ActorId(call.sender),
    });
    let caller = Caller::remote(peer, actor);
    let deadline = now + call.deadline_left.min(DEADLINE_MAX);
    let chain = Chain::received(call.root, &call.chain);
    Meta::new(caller, deadline, now, chain).marked(call.trace, call.request)
}

fn pair(hub: &Hub, call: &CallFrame<'_>) -> Pair {
    let target = match call.target {
        Target::Service => HeldTarget::Service(call.interface),
        Target::Keyed(key) => HeldTarget::Keyed(call.interface, key.into()),
        Target::Spawned {
            incarnation, actor, ..
        } => HeldTarget::Spawned(ActorAddr {
            node: hub.me().id,
            incarnation,
            actor,
        }),
    };
    Pair {
        sender: call.sender,
        target,
    }
}

/// Gives back the streams that nobody asks for, until there are none.
async fn sweep(session: Arc<Session>, streams: fn(&Session) -> &Streams) {
    loop {
        tokio::select! {
            biased;
            () = session.hub.tasks().token().cancelled() => return,
            _ = session.link.closed() => return,
            () = tokio::time::sleep(STRAY_MAX) => {}
        }
        if !streams(&session).sweep(session.hub.now()) {
            return;
        }
    }
}

fn used_twice(call: CallId) -> LinkDown {
    let detail = format!("the number {} of a call is in use", call.0);
    LinkDown::new(Code::FrameMalformed, detail)
}

pub(super) fn node_error(hub: &Hub, code: Code) -> CallError {
    CallError::new(code, format!("node {}", hub.me().name))
}

/// A peer's deadline is taken as it is up to this; the sum must stay far from the end of time.
const DEADLINE_MAX: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);
