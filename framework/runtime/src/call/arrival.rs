//! A call of a peer while it waits or runs here, and the way its answer goes back.
//!
//! It knows nothing of what the call is for; `server` finds that out. The answer goes on the lane
//! that the call came on; a long one, or one that finds no room, is sent by a task of its own.

use std::{
    any::Any,
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorId, CallId, InterfaceId},
    wire::{
        Wire,
        header::{Body, Call, Reply, Target},
    },
};
use futures_core::Stream;
use futures_util::task::AtomicWaker;
use tokio::sync::oneshot;

use crate::actor::MessageKey;
use crate::net::{AppendError, RecvStream, SendStream, StreamFor};

use super::{
    codec::{self, Encoded, Encoding},
    face::FaceMethod,
    hub::Hub,
    inflow::{Inflow, read_body},
    interface::MethodSpec,
    panics::Witness,
    scope,
    served::Entry,
    session::{Late, Session},
    stream::{Inbound, RemoteSink, pump},
    streams::Halves,
    term::Term,
};

/// A call of the peer that waits or runs here, and the way back to it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival(Arc<Served>);

/// The shared state of an arrival.
struct Served {
    session: Arc<Session>,
    id: CallId,
    lane: usize,
    wants_reply: bool,
    queue: Queue,
    /// Whether a stream goes with it.
    streamed: bool,
    cancelled: AtomicBool,
    waker: AtomicWaker,
    /// Whether a turn may have left its waker.
    waited: AtomicBool,
    /// The number of its message, while that may still be in the queue.
    queued: AtomicU64,
    send: Mutex<Option<oneshot::Receiver<SendStream>>>,
    recv: Mutex<Option<oneshot::Receiver<RecvStream>>>,
}

/// What an arrival is made from.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) id: CallId,
    pub(super) lane: usize,
    pub(super) wants_reply: bool,
    pub(super) queue: Queue,
    pub(super) stream: Option<Halves>,
}

/// Whose mailbox a call may wait in.
#[derive(Clone, Copy, Debug)]
pub(super) enum Queue {
    /// Nobody's: it is a watch, or for what has no mailbox of its own.
    Nobody,
    Service(InterfaceId),
    Actor(ActorId),
}

impl Queue {
    /// Returns whose mailbox a call may come into: a key's activation is found by its directory.
    pub(super) fn of(call: &Call<'_>) -> Self {
        match call.target {
            Target::Service => Self::Service(call.interface),
            Target::Keyed(_) => Self::Nobody,
            Target::Spawned { actor, .. } => Self::Actor(actor),
        }
    }
}

impl Arrival {
    pub(super) fn new(session: Arc<Session>, parts: Parts) -> Self {
        Self(Arc::new(Served::new(session, parts)))
    }

    /// Makes an arrival of an earlier one of the session that is over, if nobody has that any more.
    pub(super) fn renewed(earlier: Option<Self>, session: &Arc<Session>, parts: Parts) -> Self {
        if let Some(mut earlier) = earlier
            && let Some(served) = Arc::get_mut(&mut earlier.0)
        {
            served.renew(parts);
            return earlier;
        }
        Self::new(session.clone(), parts)
    }

    /// Returns whether the caller waits for a reply.
    pub(crate) fn wants_reply(&self) -> bool {
        self.0.wants_reply
    }

    /// Notes how to take the call out of its queue. Called AFTER it was put there; the call may
    /// have run or been cancelled in between, both of which are harmless.
    pub(crate) fn queued(&self, message: MessageKey) {
        // Noted BEFORE the look, and looked for AFTER it is cancelled: one of the two sees the other.
        self.0.queued.store(message.number(), Ordering::SeqCst);
        if self.0.cancelled.load(Ordering::SeqCst) {
            self.0.withdraw();
        }
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Acquire)
    }

    /// Ends the call: takes it out of its queue, or wakes its turn to be dropped.
    pub(super) fn cancel(&self) {
        let served = &self.0;
        served.cancelled.store(true, Ordering::SeqCst);
        served.waker.wake();
        served.withdraw();
    }

    /// Ends when the caller does not wait any more.
    pub(crate) async fn cancelled(&self) {
        poll_fn(|cx| self.poll_cancelled(cx)).await;
    }

    /// Becomes ready when the caller does not wait any more.
    pub(crate) fn poll_cancelled(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.waited.store(true, Ordering::Relaxed);
        self.0.waker.register(cx.waker());
        if self.is_cancelled() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    pub(super) fn hub(&self) -> &Arc<Hub> {
        &self.0.session.hub
    }

    /// Returns the streamed argument.
    pub(crate) fn inbound<T: Wire>(&self, method: &FaceMethod) -> Inbound<T> {
        let arrival = self.clone();
        let frames = async move {
            let recv = arrival.take_recv().await?;
            Some(Inflow::new(recv, &arrival.0.session))
        };
        Inbound::remote(frames, self.0.session.hub.clone(), method)
    }

    /// Answers with a value. Returns the code of the error that the caller gets instead, when the
    /// value cannot travel.
    ///
    /// # Errors
    /// The panic of the value's serialiser; the caller was answered `Panicked`.
    pub(crate) fn reply<T: Wire>(
        self,
        value: &T,
        spec: &'static MethodSpec,
    ) -> Result<Option<Code>, Box<dyn Any + Send>> {
        if self.is_cancelled() {
            return Ok(None);
        }
        let replied = catch_unwind(AssertUnwindSafe(|| self.try_reply(value, spec)));
        let error = match replied {
            Ok(None) => {
                self.ended();
                return Ok(None);
            }
            Ok(Some(Ok(body))) => match self.0.session.late_reply(body.len()) {
                Some(late) => {
                    let later = self.clone().reply_later(Ok(body), late);
                    self.hub().tasks().spawn("reply", later);
                    return Ok(None);
                }
                None => spec
                    .error(Code::ReplyDropped)
                    .with_detail("as many bytes of replies wait for this caller's node as may"),
            },
            Ok(Some(Err(error))) => error,
            Err(panic) => {
                self.fail(scope::panicked(spec, &*panic));
                return Err(panic);
            }
        };
        let code = error.code();
        self.fail(error);
        Ok(Some(code))
    }

    /// Appends the reply; returns its body, or why there is none, if that has to be sent apart.
    fn try_reply<T: Wire>(
        &self,
        value: &T,
        spec: &'static MethodSpec,
    ) -> Option<Result<Encoded, CallError>> {
        let served = &self.0;
        let hub = &served.session.hub;
        let bytes_max = served.session.body_bytes_max();
        if hub.env().plant.buggify("a-reply-waits-for-room") {
            return Some(codec::encode_reply(value, bytes_max, spec));
        }
        let appended = served.session.link.append(served.lane, |buffer| {
            Reply {
                id: served.id,
                outcome: Ok(Body::Inline(&[])),
            }
            .encode(buffer);
            codec::encode_inline(value, buffer, hub)
        });
        if matches!(appended, Ok(_) | Err(AppendError::Down)) {
            return None;
        }
        // No room now, too long for a lane, or without an encoding: encoded apart, which also says
        // which of the three it is.
        Some(codec::encode_reply(value, bytes_max, spec))
    }

    /// Answers with an error.
    pub(crate) fn fail(self, error: CallError) {
        let served = &self.0;
        served.session.streams.forget(served.id);
        if !served.wants_reply {
            tracing::debug!(%error, "a send was refused");
            served.session.hub.metrics().send_refused(error.code());
            return;
        }
        if self.is_cancelled() {
            // Nobody reads it.
            return;
        }
        let outcome = Err(error);
        let reply = Reply {
            id: served.id,
            outcome,
        };
        let appended = served.session.link.append(served.lane, |buffer| {
            reply.encode(buffer);
            Ok::<_, Infallible>(())
        });
        if let (Err(AppendError::Full), Err(error)) = (appended, reply.outcome) {
            // A call that was refused has no place among those served, which would bound it.
            if let Some(late) = served.session.late_error() {
                let later = self.clone().reply_later(Err(error), late);
                self.hub().tasks().spawn("reply", later);
                return;
            }
        }
        self.ended();
    }

    /// Answers with a stream, then sends its items. Dropped before it has answered, even before it
    /// was polled, it answers `TurnAborted`.
    pub(crate) fn reply_stream<T, S>(
        self,
        items: S,
        spec: &'static MethodSpec,
        term: Option<Term>,
        witness: Option<Witness>,
    ) -> impl Future<Output = ()> + Send + 'static
    where
        T: Wire,
        S: Stream<Item = T> + Send + 'static,
    {
        let unanswered = Unanswered {
            arrival: Some(self),
            spec,
        };
        async move {
            let Some((send, session)) = unanswered.start().await else {
                return;
            };
            let sink = RemoteSink::new(send, session.body_bytes_max(), spec);
            pump(items, sink, spec, term, witness).await;
        }
    }

    /// Answers when the lane has room, unless the caller goes away first. The call keeps its place
    /// among those served until then, so that `served_max` bounds the replies that wait.
    async fn reply_later(self, outcome: Result<Encoded, CallError>, _late: Late) {
        tokio::select! {
            biased;
            () = self.cancelled() => {}
            () = self.write_reply(outcome) => {}
        }
        self.ended();
    }

    /// Writes a reply; a long body goes on a stream of its own, announced first.
    async fn write_reply(&self, outcome: Result<Encoded, CallError>) {
        let served = &self.0;
        let link = &served.session.link;
        let inline_max = served.session.inline_bytes_max();
        let apart = matches!(&outcome, Ok(body) if body.len() > inline_max);
        loop {
            let appended = link.append(served.lane, |buffer| {
                let head = match &outcome {
                    Ok(_) if apart => Ok(Body::OnStream),
                    Ok(_) => Ok(Body::Inline(&[])),
                    Err(error) => Err(error.clone()),
                };
                let id = served.id;
                Reply { id, outcome: head }.encode(buffer);
                if let (Ok(body), false) = (&outcome, apart) {
                    body.write_to(buffer);
                }
                Ok::<_, Infallible>(())
            });
            match appended {
                Ok(_) => break,
                Err(AppendError::Full) => link.writable(served.lane).await,
                Err(_) => return,
            }
        }
        if apart
            && let Ok(body) = outcome
            && let Ok((mut send, _)) = link.open_stream(served.id, StreamFor::Reply).await
        {
            // A caller that is gone stops the stream; then there is nobody to tell.
            let _ = send.write_frame(body.into_frame()).await;
            send.finish();
        }
    }

    /// Gives the call's place among those served back. A stream of it that did not come by now is not
    /// waited for any more.
    fn ended(&self) {
        if self.0.streamed {
            self.0.session.streams.forget(self.0.id);
        }
        self.0.session.served_ended(self.0.id);
    }

    /// Reads the arguments from the call's stream, once there is room for them.
    ///
    /// # Errors
    /// Why there are none.
    pub(super) async fn read_body(&self) -> Result<Encoding<'static>, String> {
        // A caller whose bodies find no free stream may wait a while before it opens one.
        let recv = tokio::time::timeout(STREAM_WAIT_MAX, self.take_recv()).await;
        let recv = recv.ok().flatten();
        let mut recv = recv.ok_or_else(|| "the arguments' stream did not come".to_owned())?;
        let body = read_body(&mut recv, self.0.session.bodies(), self.hub()).await;
        let body = body.map_err(|error| format!("the arguments' stream: {error}"))?;
        let no_body = || "the arguments' stream does not begin with a body".to_owned();
        let body = body.ok_or_else(no_body)?;
        // The items of a streamed argument follow on the same stream.
        let (again, place) = oneshot::channel();
        let _ = again.send(recv);
        *self.0.recv.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        Ok(body)
    }

    async fn take_send(&self) -> Option<SendStream> {
        let half = self
            .0
            .send
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        half?.await.ok()
    }

    async fn take_recv(&self) -> Option<RecvStream> {
        let half = self
            .0
            .recv
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        half?.await.ok()
    }
}

impl Entry for Arrival {
    fn may_stay(&self) -> bool {
        !self.0.streamed && !self.0.waited.load(Ordering::Relaxed)
    }
}

/// A streamed call that has no answer yet.
struct Unanswered {
    arrival: Option<Arrival>,
    spec: &'static MethodSpec,
}

impl Unanswered {
    /// Waits for the call's stream and answers; returns where the items go.
    async fn start(mut self) -> Option<(SendStream, Arc<Session>)> {
        let send = self.arrival.as_ref()?.take_send().await;
        let arrival = self.arrival.take()?;
        let Some(send) = send else {
            arrival.fail(self.spec.error(Code::StreamBroken));
            return None;
        };
        let session = arrival.0.session.clone();
        // A value without bytes always has an encoding.
        let _ = arrival.reply(&(), self.spec);
        Some((send, session))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(arrival) = self.arrival.take() {
            let node = format!("node {}", arrival.hub().me().name);
            let error = self.spec.error_on(Code::TurnAborted, &node);
            arrival.fail(error.with_detail("its actor ended before its stream had begun"));
        }
    }
}

impl Served {
    fn new(session: Arc<Session>, parts: Parts) -> Self {
        let stream = parts.stream.map(|halves| (halves.send, halves.recv));
        let (send, recv) = stream.unzip();
        Self {
            session,
            id: parts.id,
            lane: parts.lane,
            wants_reply: parts.wants_reply,
            queue: parts.queue,
            streamed: send.is_some(),
            cancelled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            waited: AtomicBool::new(false),
            queued: AtomicU64::new(NOT_QUEUED),
            send: Mutex::new(send),
            recv: Mutex::new(recv),
        }
    }

    /// Becomes the next call, of which nothing is shared yet.
    fn renew(&mut self, parts: Parts) {
        let stream = parts.stream.map(|halves| (halves.send, halves.recv));
        let (send, recv) = stream.unzip();
        (self.id, self.lane) = (parts.id, parts.lane);
        (self.wants_reply, self.queue) = (parts.wants_reply, parts.queue);
        self.streamed = send.is_some();
        *self.cancelled.get_mut() = false;
        *self.queued.get_mut() = NOT_QUEUED;
        *self.send.get_mut().unwrap_or_else(PoisonError::into_inner) = send;
        *self.recv.get_mut().unwrap_or_else(PoisonError::into_inner) = recv;
    }

    fn withdraw(&self) {
        let number = self.queued.swap(NOT_QUEUED, Ordering::SeqCst);
        if number == NOT_QUEUED {
            return;
        }
        let hub = &self.session.hub;
        let host = match self.queue {
            Queue::Nobody => None,
            Queue::Service(interface) => hub.host(interface),
            Queue::Actor(actor) => hub.actor(actor),
        };
        if let Some(host) = host {
            host.withdraw(MessageKey::of(number));
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// No message has this number: a mailbox counts them from zero.
const NOT_QUEUED: u64 = u64::MAX;

/// How long the stream of a call's arguments may be missing: far above what it takes until one of a
/// hundred is free, far below the deadline that a peer could set.
const STREAM_WAIT_MAX: Duration = Duration::from_secs(60);
