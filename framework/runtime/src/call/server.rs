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
    slots::{Entry, Epoch, Lack, Owner, SequenceNumber, Slot, SlotId},
    time::Time,
    wire::{
        header::{Body, Call as CallFrame, Down, DownReason, Frame, Reply, Watch},
        hello::{FEATURE_ALONE, FEATURE_PLACES},
    },
};
use futures_util::future::BoxFuture;

use crate::{
    actor::{Cell, Child, Ended, Guardian, MessageKey},
    cluster::{Fence, Inbox, PlacedBy, Site},
    env::Bug,
    net::{Frames, Intake, Link, LinkDown, RecvStream, SendStream, StreamFor},
};

use super::{
    arrival::{Arrival, Parts, Queue},
    codec::Encoding,
    coming::{Coming, Lost, Unaccepted},
    dispatch::{Targets, dispatch, offer, receive_bodies, refuse, refuse_held},
    envelope::Incoming,
    forward::Kept,
    frame::{Aim, Arrived, ArrivedCall, meta, shape, sight},
    handover::Departing,
    hold::{Held, Ordered},
    hub::Hub,
    in_memory::InMemory,
    interface::Interface,
    meta::Queued,
    pending::Returned,
    served::NotEntered,
    session::Session,
    streams::{STRAY_MAX, Streams},
};

/// What takes calls: a service, a spawned actor, or the directory of a keyed one.
pub(crate) trait Hosted: Send + Sync + fmt::Debug + 'static {
    /// Decodes the call and puts it into a mailbox; `arrival` is told which message it is there. `key` is
    /// the encoded one of a keyed target.
    ///
    /// # Errors
    /// Why it was not put there; the handler does not run.
    fn accept(
        &self,
        method: MethodId,
        key: Option<&[u8]>,
        parts: &mut Option<Coming<'_>>,
        arrival: &Arrival,
    ) -> Result<(), Unaccepted>;
    /// Takes a message out of the mailbox, unless its turn has begun.
    fn withdraw(&self, message: MessageKey);
    /// Returns the interface.
    fn interface(&self) -> InterfaceId;
    /// Returns the typed cell, for callers in this process.
    fn cell(&self) -> Option<Arc<dyn Any + Send + Sync>>;
    /// Returns the child and its guardian, of a spawned actor.
    fn supervised(&self) -> Option<Supervised>;
    /// Returns how many messages wait.
    fn depth(&self) -> usize;
    /// Returns how many calls of a service run; nothing is known of others.
    fn running(&self) -> usize;
    /// Returns whether it takes messages, and has no room for one now.
    fn is_full(&self) -> bool;
    /// Returns the definition's name.
    fn name(&self) -> &'static str;
    /// Waits until the actor will not run again.
    fn wait_ended(&self) -> BoxFuture<'static, Ended>;
    /// Returns the keys of what is addressed by key.
    fn keys(&self) -> Option<&dyn Keys>;
    /// Returns what makes the actors of a type that is placed.
    fn nursery(&self) -> Option<&dyn Nursery> {
        None
    }
}

/// What makes the actors of a type that is placed, on a node that hosts it.
pub(crate) trait Nursery: Send + Sync {
    /// Makes an actor, which belongs to the node, and returns where it is.
    ///
    /// # Errors
    /// `NodeStopping`, `TooManyActors`.
    fn make(&self) -> Result<ActorAddr, CallError>;
}

/// The activations behind the keys of a type. A key of another type has none.
pub(crate) trait Keys: Send + Sync {
    /// Returns the number of the key's activation, also of one that was given up.
    fn find(&self, key: &dyn Any) -> Option<ActorId>;
    /// Returns whether what the type has in memory does not end when a slot goes elsewhere.
    fn is_movable(&self) -> bool;
    /// Returns what the node that stands there lacks to own slots of the type.
    fn lack(&self, site: &Site) -> Option<Lack>;
    /// Returns the slots of which there is anything here.
    fn slots(&self) -> Vec<Slot>;
    /// Returns the activations that are bound to no slot, each once.
    fn unbound(&self) -> Vec<Departing>;
    /// Returns the activations of a slot whose ownership is over, each once.
    fn lost(&self, slot: Slot) -> Vec<Departing>;
    /// The slot goes elsewhere: returns its activations, and what came along with it for keys that
    /// nobody has called since. No key of it is activated until [`left`](Self::left).
    fn depart(&self, slot: Slot, epoch: Epoch) -> (Vec<Departing>, Vec<Kept>);
    /// Takes the sends that have come since the slot goes. If there are none and `closes` says so, none is
    /// taken in any more; returns whether that is so.
    fn late(&self, slot: Slot, epoch: Epoch, closes: bool) -> (Vec<Kept>, bool);
    /// The slot has gone, or it has come back under this epoch with what was taken out of here.
    /// Returns what is lost by that.
    fn left(&self, slot: Slot, back: Option<(Epoch, Vec<Kept>)>) -> Lost;
    /// Takes in what is known of a slot now. Returns what came for nothing.
    fn settle(&self, id: SlotId, me: Owner, entry: &Entry) -> Lost;
    /// Takes in what the owner of a slot that comes hands over, under the epoch that it has it; returns
    /// the number before which all is here, for that owner.
    fn take_in(
        &self,
        slot: Slot,
        by: (Owner, Epoch),
        sequence: SequenceNumber,
        kept: Kept,
    ) -> Option<SequenceNumber>;
    /// Activates the keys for which sends came along with a slot; returns whether some still wait.
    fn wake(&self, id: SlotId) -> bool;
    /// Returns the encoding of a key that somebody has written.
    ///
    /// # Errors
    /// What is wrong with the text, in words.
    fn key_of_text(&self, text: &str) -> Result<Vec<u8>, String>;
    /// Returns what is in memory for a key in the encoding of the wire.
    ///
    /// # Errors
    /// What decoding says.
    fn in_memory(&self, key: &[u8]) -> Result<Option<InMemory>, CallError>;
    /// Forgets an activation that has ended.
    fn forget(&self, key: &dyn Any, actor: ActorId);
}

/// A child and who supervises it.
pub(crate) type Supervised = (Guardian, Arc<dyn Child>);

/// Finds or makes the activation of a key.
pub(crate) trait Directory<I: Interface>: Send + Sync {
    /// Returns the cell of the key's activation. `fence` is what it is bound to, where keys are
    /// placed.
    ///
    /// # Errors
    /// Why there can be none now.
    fn activation(
        &self,
        key: &I::Key,
        fence: Option<&Fence>,
    ) -> Result<Arc<Cell<Queued<I::Msg>>>, CallError>;
}

/// Brings the links of a node together with their sessions.
#[derive(Debug)]
pub(crate) struct Gate {
    hub: Arc<Hub>,
    inbox: Arc<Inbox>,
    sessions: RwLock<BTreeMap<u64, Arc<Session>>>,
}

impl Gate {
    pub(crate) fn new(hub: Arc<Hub>, inbox: Arc<Inbox>) -> Self {
        Self {
            hub,
            inbox,
            sessions: RwLock::default(),
        }
    }

    fn session(&self, link: &Link) -> Option<Arc<Session>> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&link.session()).cloned()
    }
}

impl Frames for Gate {
    fn features(&self) -> u64 {
        match self.hub.placed_by() {
            Some(PlacedBy::Group) => FEATURE_PLACES,
            Some(PlacedBy::WhoAsks) => FEATURE_ALONE,
            Some(PlacedBy::Unknown) | None => 0,
        }
    }

    fn withdrawn(&self) -> Vec<InterfaceId> {
        self.hub.withdrawals.list()
    }

    fn link_up(&self, link: &Arc<Link>) {
        // BEFORE a call can come over it: this node is to know whether it may activate the key.
        self.hub.hear_of_placing(link.peer());
        let session = self.hub.session_up(link);
        self.hub.tell_withdrawals(link);
        let mut sessions = self
            .sessions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        sessions.insert(link.session(), session);
        self.inbox.link_up(link);
    }

    fn link_down(&self, link: &Arc<Link>, why: &LinkDown) {
        let session = {
            let mut sessions = self
                .sessions
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            sessions.remove(&link.session())
        };
        if let Some(session) = session {
            self.hub.session_down(&session, why);
        }
        self.inbox.link_down(link);
    }

    fn heard(&self, link: &Arc<Link>, message: Vec<u8>) {
        self.inbox.heard(link, message);
    }

    fn link_refused(&self, id: NodeId, name: &NodeName, why: &LinkDown) {
        self.hub.names().refused(id, name, why);
    }

    fn intake(&self, link: &Arc<Link>) -> Option<Box<dyn Intake>> {
        let (session, targets) = (self.session(link)?, Targets::default());
        Some(Box::new(Receiver { session, targets }))
    }

    fn stream(
        &self,
        link: &Arc<Link>,
        call: CallId,
        purpose: StreamFor,
        send: SendStream,
        recv: RecvStream,
    ) {
        let Some(session) = self.session(link) else {
            return;
        };
        let streams: fn(&Session) -> &Streams = match purpose {
            StreamFor::Call => |session| &session.streams,
            StreamFor::Reply => |session| &session.reply_streams,
        };
        match streams(&session).accepted(call, send, recv, self.hub.now()) {
            Ok(true) => {
                let sweep = sweep(session, streams);
                self.hub.tasks().spawn("stray-streams", sweep);
            }
            Ok(false) => {}
            Err(_) => link.close(used_twice(call)),
        }
    }
}

/// Takes in the frames of one lane of a session.
#[derive(Debug)]
struct Receiver {
    session: Arc<Session>,
    targets: Targets,
}

impl Intake for Receiver {
    fn now(&self) -> Time {
        self.session.hub.now()
    }

    fn is_heavy(&self) -> bool {
        self.session.holds.is_heavy()
    }

    fn light(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.session.holds.light())
    }

    fn frame(
        &mut self,
        lane: usize,
        frame: &[u8],
        memory: &Bytes,
        now: Time,
    ) -> Result<(), LinkDown> {
        let frame =
            Frame::decode(frame).map_err(|error| LinkDown::new(error.code(), error.to_string()))?;
        match frame {
            Frame::Call(call) => self.call(lane, &call, now)?,
            Frame::Reply(reply) => self.reply(memory, reply, now)?,
            Frame::Cancel(id) => {
                self.session.streams.forget(id);
                self.session.served_cancelled(id);
            }
            Frame::Watch(watch) => self.watch(lane, watch)?,
            Frame::Down(down) => self.session.watches.complete(down.id, down.reason),
            Frame::Seen(version) => self.session.heard_seen(lane, version),
            _ => {}
        }
        Ok(())
    }
}

impl Receiver {
    /// # Errors
    /// When the number of the call is in use: what comes later could not be told apart.
    fn call(&mut self, lane: usize, call: &CallFrame<'_>, now: Time) -> Result<(), LinkDown> {
        let session = &self.session;
        let hub = &session.hub;
        let on_stream = call.body == Body::OnStream;
        let most = hub.call_limits().served_max;
        let stream = (call.streamed || on_stream).then(|| session.streams.expect(call.id, most));
        let stream = stream.transpose();
        let parts = |stream| Parts {
            id: call.id,
            lane,
            wants_reply: !call.send,
            queue: Queue::of(call),
            stream,
        };
        let unserved = || Arrival::new(session.clone(), parts(None));
        if hub.is_stopping() {
            let error = node_error(hub, Code::NodeStopping);
            refuse(hub, call.interface, call.method, unserved(), error);
            return Ok(());
        }
        let arrival = match stream {
            Ok(stream) if call.send => Ok(Arrival::new(session.clone(), parts(stream))),
            Ok(stream) => session.serve(parts(stream)),
            Err(refusal) => Err(refusal),
        };
        match arrival {
            Ok(arrival) => self.admit(lane, call, now, arrival),
            Err(NotEntered::Twice) => return Err(used_twice(call.id)),
            Err(NotEntered::Full) => {
                let error = node_error(hub, Code::MailboxFull);
                let detail = "too many calls of this peer wait or run";
                let error = error.with_detail(detail);
                refuse(hub, call.interface, call.method, unserved(), error);
            }
        }
        Ok(())
    }

    /// Hands a call on, unless its pair is held.
    fn admit(&mut self, lane: usize, call: &CallFrame<'_>, now: Time, arrival: Arrival) {
        let session = &self.session;
        let (meta, sight) = (meta(session, call, now), sight(session, lane, call));
        match call.body {
            // The common case: the arguments are read where they lie.
            Body::Inline(body) if session.holds.is_empty() => {
                let incoming = Incoming::new(Encoding::Lent(body), arrival.clone(), shape(call));
                let coming = Coming {
                    incoming,
                    meta,
                    sight,
                };
                self.offer(call, body, coming, arrival);
            }
            body => {
                let arrived = ArrivedCall::new(&session.hub, call, (meta, sight), arrival);
                // What waits must not keep the whole of what was received with it.
                let body = match body {
                    Body::Inline(body) => Some(Bytes::copy_from_slice(body).into()),
                    Body::OnStream => None,
                };
                self.pass(arrived, body);
            }
        }
    }

    /// Offers a call to its target. A send that finds no place there holds its pair until there is one.
    fn offer(&mut self, call: &CallFrame<'_>, body: &[u8], coming: Coming<'_>, arrival: Arrival) {
        let hub = &self.session.hub;
        let mut parts = Some(coming);
        let accepted = offer(hub, &mut self.targets, Aim::of(call), &mut parts, &arrival);
        match (accepted, parts) {
            (Ok(()), _) => {}
            (Err(Unaccepted::Later(_)), Some(Coming { meta, sight, .. })) => {
                let call = ArrivedCall::new(hub, call, (meta, sight), arrival);
                self.hold(call, body);
            }
            (Err(Unaccepted::Refused(error) | Unaccepted::Later(error)), _) => {
                refuse(hub, call.interface, call.method, arrival, error);
            }
        }
    }

    /// Hands a call to its target that others have waited before.
    fn hand(&mut self, call: ArrivedCall, body: &[u8]) {
        let mut lent = Encoding::Lent(body);
        let back = dispatch(&self.session.hub, &mut self.targets, call, &mut lent);
        if let Some((call, _)) = back {
            self.hold(call, body);
        }
    }

    /// Holds the pair of a send that has found no place, until there is one.
    fn hold(&self, call: ArrivedCall, body: &[u8]) {
        let (session, hub) = (&self.session, &self.session.hub);
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
    fn pass(&mut self, call: ArrivedCall, body: Option<Encoding<'static>>) {
        let session = &self.session;
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
        let most = self.session.hub.call_limits().in_flight_max;
        let returned = match reply.outcome {
            Ok(Body::Inline(body)) => Returned::Body(memory.slice_ref(body), now),
            // Expected BEFORE the caller hears of it: one that is dropped in between still forgets it.
            Ok(Body::OnStream) => {
                let halves = self.session.reply_streams.expect(reply.id, most);
                Returned::OnStream(halves.map_err(|_| used_twice(reply.id))?)
            }
            Err(error) => Returned::Failed(error),
        };
        let on_stream = matches!(returned, Returned::OnStream(_));
        let id = if self.session.hub.env().plant.strikes(Bug::WrongReply) {
            self.session.pending.neighbour(reply.id)
        } else {
            reply.id
        };
        if !self.session.pending.complete(id, returned, now) && on_stream {
            // The caller is gone; the stream that follows must not wait for it.
            self.session.reply_streams.forget(reply.id);
        }
        Ok(())
    }

    /// # Errors
    /// When the number of the watch is in use.
    fn watch(&self, lane: usize, watch: Watch) -> Result<(), LinkDown> {
        let (session, hub) = (&self.session, &self.session.hub);
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
        let parts = Parts {
            id: watch.id,
            lane,
            wants_reply: true,
            queue: Queue::Nobody,
            stream: None,
        };
        let arrival = match session.serve(parts) {
            Ok(arrival) => arrival,
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
        };
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
