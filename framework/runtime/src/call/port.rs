//! The port a handler answers through: to a local caller, over the wire, or to nobody.
//!
//! A port is answered exactly once. One that is dropped before its turn began answers
//! `ActorStopped` (the handler did not run), one that is dropped later `TurnAborted` (it may have).
//! The end of each that began is counted here, by the turn; whoever refuses one counts it itself.

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use callboard_protocol::{
    code::{CallError, Code},
    time::Time,
    wire::Wire,
};
use futures_core::Stream;
use tokio::sync::oneshot;

use crate::actor::TurnEnd;

use super::{
    arrival::Arrival,
    interface::{Method, MethodSpec, Streamed, Unary},
    scope,
    stream::{self, Streaming},
};

/// Answers a caller who waits for an `A`: a reply, or a stream of replies.
pub struct Port<A> {
    sink: Sink<A>,
    spec: &'static MethodSpec,
    /// Whether the turn began.
    started: bool,
    /// Whether it is of a keyed actor, which may have lost its slot when the turn ends.
    keyed: bool,
}

/// What a caller in this process gets, and when it was given.
pub(super) struct Replied<A> {
    pub(super) result: Result<A, CallError>,
    /// The beginning of time for a call that had no turn.
    pub(super) at: Time,
    /// The arguments of a call that has not run, to make it with again.
    pub(super) back: Option<Box<dyn Any + Send>>,
}

enum Sink<A> {
    Answered,
    /// Of a send in this process.
    Discard,
    /// Of a send of a peer.
    Sent(Arrival),
    Local(oneshot::Sender<Replied<A>>),
    Remote(Arrival),
}

/// Runs a `&self` handler of `M`; drops it when the caller is gone.
///
/// # Panics
/// With the handler's panic, AFTER the caller was answered `Panicked`: the panic is what tells the
/// supervisor.
pub async fn race<M>(
    mut port: Port<M::Reply>,
    turn: impl Future<Output = M::Reply> + Send,
) -> TurnEnd
where
    M: Method<Shape = Unary>,
{
    if let Some(value) = port.race(pin!(Some(turn))).await {
        port.answer(value);
    }
    TurnEnd::Done
}

/// Runs a `&mut self` handler of `M` to its end, whatever the caller does.
///
/// # Panics
/// As [`race`].
pub async fn finish<M>(
    mut port: Port<M::Reply>,
    turn: impl Future<Output = M::Reply> + Send,
) -> TurnEnd
where
    M: Method<Shape = Unary>,
{
    let value = port.finish(pin!(turn)).await;
    port.answer(value);
    TurnEnd::Done
}

/// Runs a `&mut self` handler of `M` marked `abort`; dropping the call drops it in the middle.
///
/// # Panics
/// As [`race`].
pub async fn race_abort<M>(
    mut port: Port<M::Reply>,
    turn: impl Future<Output = M::Reply> + Send,
) -> TurnEnd
where
    M: Method<Shape = Unary>,
{
    match port.race(pin!(Some(turn))).await {
        Some(value) => {
            port.answer(value);
            TurnEnd::Done
        }
        None => TurnEnd::Aborted,
    }
}

/// Runs a `&self` handler of `M` until it returns its stream, then sends the stream's items in a
/// task of its own; both end when the caller is gone.
///
/// # Panics
/// As [`race`], for a panic before the stream is returned. A later one ends the stream with
/// `Panicked`.
pub async fn race_stream<M, S>(
    mut port: Port<Streaming<M::Reply>>,
    turn: impl Future<Output = S> + Send,
) -> TurnEnd
where
    M: Method<Shape = Streamed>,
    S: Stream<Item = M::Reply> + Send + 'static,
{
    if let Some(items) = port.race(pin!(Some(turn))).await {
        port.answer_stream(items);
    }
    TurnEnd::Done
}

/// Runs a `&mut self` handler of `M` until it returns its stream.
///
/// # Panics
/// As [`race_stream`].
pub async fn finish_stream<M, S>(
    mut port: Port<Streaming<M::Reply>>,
    turn: impl Future<Output = S> + Send,
) -> TurnEnd
where
    M: Method<Shape = Streamed>,
    S: Stream<Item = M::Reply> + Send + 'static,
{
    let items = port.finish(pin!(turn)).await;
    port.answer_stream(items);
    TurnEnd::Done
}

/// Runs a `&mut self` handler of `M` marked `abort` until it returns its stream.
///
/// # Panics
/// As [`race_stream`].
pub async fn race_abort_stream<M, S>(
    mut port: Port<Streaming<M::Reply>>,
    turn: impl Future<Output = S> + Send,
) -> TurnEnd
where
    M: Method<Shape = Streamed>,
    S: Stream<Item = M::Reply> + Send + 'static,
{
    match port.race(pin!(Some(turn))).await {
        Some(items) => {
            port.answer_stream(items);
            TurnEnd::Done
        }
        None => TurnEnd::Aborted,
    }
}

impl<A> Port<A> {
    /// Makes a port for a caller in this process.
    pub(super) fn local(spec: &'static MethodSpec) -> (Self, oneshot::Receiver<Replied<A>>) {
        let (caller, reply) = oneshot::channel();
        (Self::new(Sink::Local(caller), spec), reply)
    }

    /// Makes it one of a keyed actor, or not.
    pub(super) fn of_keyed(mut self, keyed: bool) -> Self {
        self.keyed = keyed;
        self
    }

    /// Makes a port for a caller on another node.
    pub(crate) fn remote(arrival: Arrival, spec: &'static MethodSpec) -> Self {
        let sink = if arrival.wants_reply() {
            Sink::Remote(arrival)
        } else {
            Sink::Sent(arrival)
        };
        Self::new(sink, spec)
    }

    /// Makes a port that nobody listens to.
    pub(crate) fn discard(spec: &'static MethodSpec) -> Self {
        Self::new(Sink::Discard, spec)
    }

    /// Answers with an error instead of running.
    pub(crate) fn refuse(mut self, error: CallError) {
        self.fail(error);
    }

    /// Answers with an error instead of running, and gives a caller in this process its arguments.
    pub(crate) fn give_back(mut self, error: CallError, args: Box<dyn Any + Send>) {
        match self.take() {
            Sink::Local(caller) => {
                let (result, at, back) = (Err(error), Time::ZERO, Some(args));
                let _ = caller.send(Replied { result, at, back });
            }
            sink => {
                self.sink = sink;
                self.fail(error);
            }
        }
    }

    /// Takes the message of a send away from its port, which says nothing then; returns whether it was one.
    pub(super) fn take_send(&mut self) -> bool {
        let is_send = matches!(self.sink, Sink::Discard | Sink::Sent(_));
        if is_send {
            self.sink = Sink::Answered;
        }
        is_send
    }

    /// Returns why what the turn has made may not leave, if it may not: promise 3 of the design, no
    /// stale answers.
    fn lost(&self) -> Option<CallError> {
        if self.keyed && self.started {
            return scope::lost(self.spec);
        }
        None
    }

    /// Returns whether nobody waits for the answer any more.
    pub(crate) fn abandoned(&self) -> bool {
        match &self.sink {
            Sink::Local(caller) => caller.is_closed(),
            Sink::Remote(arrival) => arrival.is_cancelled(),
            Sink::Discard | Sink::Sent(_) => false,
            Sink::Answered => true,
        }
    }

    fn new(sink: Sink<A>, spec: &'static MethodSpec) -> Self {
        Self {
            sink,
            spec,
            started: false,
            keyed: false,
        }
    }

    fn take(&mut self) -> Sink<A> {
        std::mem::replace(&mut self.sink, Sink::Answered)
    }

    fn fail(&mut self, error: CallError) {
        let sink = self.take();
        let at = match sink {
            Sink::Answered => return,
            _ => self.ended(Some(error.code())),
        };
        match sink {
            Sink::Local(caller) => {
                let (result, back) = (Err(error), None);
                let _ = caller.send(Replied { result, at, back });
            }
            Sink::Remote(arrival) => arrival.fail(error),
            // One that has begun was not refused; what became of it nobody waits for.
            Sink::Sent(arrival) if !self.started => arrival.fail(error),
            Sink::Answered | Sink::Discard | Sink::Sent(_) => {}
        }
    }

    /// Counts the end of a call that had a turn; returns when that is.
    fn ended(&self, error: Option<Code>) -> Time {
        if self.started {
            scope::ended(error)
        } else {
            Time::ZERO
        }
    }

    /// Becomes ready when nobody waits for the answer any more.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.sink {
            Sink::Local(caller) => caller.poll_closed(cx),
            Sink::Remote(arrival) => arrival.poll_cancelled(cx),
            Sink::Discard | Sink::Sent(_) | Sink::Answered => Poll::Pending,
        }
    }

    async fn finish<T>(&mut self, mut turn: Pin<&mut (impl Future<Output = T> + Send)>) -> T {
        self.started = true;
        match poll_fn(|cx| poll_caught(turn.as_mut(), cx)).await {
            Ok(value) => value,
            Err(panic) => self.crash(panic),
        }
    }

    /// Returns the handler's value, or nothing when the caller went away first. The handler is
    /// polled first, so that a value that is there is never thrown away.
    async fn race<T>(
        &mut self,
        mut turn: Pin<&mut Option<impl Future<Output = T> + Send>>,
    ) -> Option<T> {
        self.started = true;
        let outcome = poll_fn(|cx| {
            let running = turn.as_mut().as_pin_mut();
            match running.map(|turn| poll_caught(turn, cx)) {
                Some(Poll::Ready(outcome)) => Poll::Ready(Some(outcome)),
                Some(Poll::Pending) => self.poll_gone(cx).map(|()| None),
                None => Poll::Ready(None),
            }
        });
        match outcome.await {
            Some(Ok(value)) => Some(value),
            Some(Err(panic)) => self.crash(panic),
            None => {
                turn.set(None);
                self.ended(None);
                self.sink = Sink::Answered;
                None
            }
        }
    }

    fn crash(&mut self, panic: Box<dyn Any + Send>) -> ! {
        self.fail(scope::panicked(self.spec, &*panic));
        resume_unwind(panic)
    }
}

impl<T: Wire> Port<T> {
    fn answer(&mut self, value: T) {
        if let Some(error) = self.lost() {
            return self.fail(error);
        }
        let error = match self.take() {
            Sink::Local(caller) => {
                let (at, result, back) = (self.ended(None), Ok(value), None);
                // A caller that is gone does not want the value.
                let _ = caller.send(Replied { result, at, back });
                return;
            }
            Sink::Remote(arrival) => match arrival.reply(&value, self.spec) {
                Ok(error) => error,
                Err(panic) => {
                    self.ended(Some(Code::Panicked));
                    resume_unwind(panic)
                }
            },
            Sink::Answered | Sink::Discard | Sink::Sent(_) => None,
        };
        self.ended(error);
    }
}

impl<T: Wire> Port<Streaming<T>> {
    fn answer_stream<S>(&mut self, items: S)
    where
        S: Stream<Item = T> + Send + 'static,
    {
        if let Some(error) = self.lost() {
            return self.fail(error);
        }
        let spec = self.spec;
        let at = self.ended(None);
        let term = scope::term(spec);
        let witness = scope::witness(spec, |_| stream::AFTER_PANIC);
        let items = scope::unless_cut(items);
        match self.take() {
            Sink::Local(caller) => {
                let (streaming, pump) = stream::local_pair(items, spec, term, witness);
                let (result, back) = (Ok(streaming), None);
                if caller.send(Replied { result, at, back }).is_ok() {
                    scope::spawn("stream-pump", pump);
                }
            }
            Sink::Remote(arrival) => {
                scope::spawn(
                    "stream-pump",
                    arrival.reply_stream(items, spec, term, witness),
                );
            }
            Sink::Answered | Sink::Discard | Sink::Sent(_) => {}
        }
    }
}

impl<A> fmt::Debug for Port<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port")
            .field("method", &self.spec.name)
            .finish_non_exhaustive()
    }
}

impl<A> Drop for Port<A> {
    fn drop(&mut self) {
        if matches!(self.sink, Sink::Answered) {
            return;
        }
        let error = if self.started {
            scope::aborted(self.spec)
        } else {
            self.spec.error(Code::ActorStopped)
        };
        self.fail(error);
    }
}

/// Polls a handler; a panic is a value.
fn poll_caught<F: Future>(
    turn: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Box<dyn Any + Send>>> {
    match catch_unwind(AssertUnwindSafe(|| turn.poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

/// Returns what a panic said, or a stand-in for a payload that is not text.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "the panic carried no text".to_string())
}
