//! The caller's side of a call: from the builder to the reply.
//!
//! `Call` → straight to its target (`local`, `direct`), or by `attempts` → reply. Dropping it at any
//! point frees what the call holds, here and on the host.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    wire::header::TraceContext,
};
use futures_core::Stream;
use tracing::Instrument;

use super::{
    advice::advised,
    attempts::{Failed, Items, Parts, Plan, call_span},
    direct::{self, Came, Direct},
    interface::{Answer, Definition, Method, Shape},
    local::{self, Begun, Waiting},
    meta::{Caller, Meta},
    reference::{Address, Ref},
    scope::{self, Chain},
    term::Term,
};

/// A call, which is made when it is first polled: by `.await`, or by what drives futures, as
/// `tokio::spawn` and `join!` do. [`send`](Call::send) makes it without waiting for a reply.
///
/// # Cancel safety
/// Dropping it drops the call: it is taken out of the target's queue, or its `&self` handler and its
/// streams are dropped. A `&mut self` handler that has begun runs to its end.
///
/// # Panics
/// When it is polled after it was ready.
#[must_use = "a call does nothing until it is awaited or sent"]
pub struct Call<M: Method>(State<M>);

enum State<M: Method> {
    Made(Request<M>),
    /// In a mailbox of this process, the common case there.
    Here(Waiting<M>),
    /// At a peer, the common case there.
    There(Direct<M>, Spare<M>),
    Far(Far<M>),
    Over,
}

/// What another attempt of a call of a service or a key is made from; a spawned actor is asked once.
type Spare<M> = Option<Box<(Request<M>, Meta)>>;

/// A call that has a way to find, or to go.
type Far<M> = Pin<Box<dyn Future<Output = Result<Answer<M>, CallError>> + Send>>;

/// What a call asks of whom, before it goes anywhere.
pub(super) struct Request<M: Method> {
    pub(super) target: Ref<M::Interface>,
    pub(super) args: M::Args,
    pub(super) inbound: Option<Items<M::Inbound>>,
    timeout: Option<Duration>,
    /// Few calls have one.
    id: Option<Box<u128>>,
}

/// Makes a call.
#[doc(hidden)]
pub fn call<M: Method>(target: &Ref<M::Interface>, args: M::Args) -> Call<M> {
    Call(State::Made(Request::new(target, args, None)))
}

/// Makes a call with a streamed argument.
#[doc(hidden)]
pub fn call_streaming<M: Method>(
    target: &Ref<M::Interface>,
    args: M::Args,
    items: impl Stream<Item = M::Inbound> + Send + 'static,
) -> Call<M> {
    let inbound: Items<M::Inbound> = Box::pin(items);
    Call(State::Made(Request::new(target, args, Some(inbound))))
}

impl<M: Method> Call<M> {
    /// Sets how long the call may take, all attempts together. The deadline of the turn that makes
    /// the call, if it is earlier, holds. Default: what the handler's attribute says, else 10 s.
    ///
    /// # Panics
    /// When the call has been polled: it has been made by then.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request().timeout = Some(timeout);
        self
    }

    /// Gives the call an id of the caller's choice. A handler marked `once` runs once for each.
    ///
    /// # Panics
    /// When the call has been polled: it has been made by then.
    pub fn request_id(mut self, id: u128) -> Self {
        self.request().id = Some(Box::new(id));
        self
    }

    /// Sends the call without waiting for a reply: returns when it is in the target's queue (here)
    /// or in the link's send buffer (elsewhere). While that buffer is full it waits for room, in the
    /// order of the sends. What becomes of the message then is not reported.
    ///
    /// # Errors
    /// What kept the message from being sent; `ran()` is never `MayHaveRun`. `SendBufferFull` when
    /// there was no room until the deadline.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, the message may or may not have been sent.
    ///
    /// # Panics
    /// When the call has been polled: it has been made by then.
    pub async fn send(self) -> Result<(), CallError> {
        let State::Made(request) = self.0 else {
            panic!("{MADE}");
        };
        let meta = request.meta(false)?;
        if direct::send(&request, &meta) {
            return Ok(());
        }
        let result = match local::send(request, meta) {
            local::Sent::Over(result) => result,
            local::Sent::Elsewhere(request, meta) => Box::pin(request.send_far(meta)).await,
        };
        result.map_err(advised_for::<M>)
    }

    fn request(&mut self) -> &mut Request<M> {
        match &mut self.0 {
            State::Made(request) => request,
            _ => panic!("{MADE}"),
        }
    }
}

/// What a caller did who asks something of a call that he has polled.
const MADE: &str = "the call has been polled, so it has been made: set it up before that";

impl<M: Method> Request<M> {
    fn new(target: &Ref<M::Interface>, args: M::Args, inbound: Option<Items<M::Inbound>>) -> Self {
        Self {
            target: target.clone(),
            args,
            inbound,
            timeout: None,
            id: None,
        }
    }

    async fn send_far(self, meta: Meta) -> Result<(), CallError> {
        let (target, parts) = self.split();
        let plan = Plan::new::<M>(&target, meta, false)?;
        let result = parts.in_time(&target, &plan, None).await.map(drop);
        if let Some(method) = plan.face.methods.get(M::INDEX) {
            method
                .metrics
                .sent(result.as_ref().err().map(CallError::code));
        }
        result
    }

    /// Makes the call, or goes on with one whose first attempt has failed.
    async fn run_far(self, meta: Meta, failed: Option<Failed>) -> Result<Answer<M>, CallError> {
        let (target, parts) = self.split();
        let plan = Plan::new::<M>(&target, meta, true)?;
        let method = plan.face.methods.get(M::INDEX);
        let metrics = method.map(|method| match failed {
            None => method.metrics.begin(),
            Some(_) => method.metrics.go_on(),
        });
        let result = match call_span(&plan) {
            None => parts.in_time(&target, &plan, failed).await,
            // Apart, so that a call which nobody traces has no place for a span.
            Some(span) => Box::pin(parts.in_time(&target, &plan, failed).instrument(span)).await,
        };
        let ended = match &result {
            Ok(answered) => answered.at,
            Err(_) => plan.hub.now(),
        };
        if let Some(metrics) = metrics {
            let took = ended.saturating_since(plan.meta.queued_at);
            metrics.end(result.as_ref().err().map(CallError::code), took);
        }
        let answer = result?.answer;
        let answer = answer.ok_or_else(|| plan.spec.error(Code::ReplyDropped))?;
        let Meta {
            deadline,
            queued_at,
            ..
        } = plan.meta;
        let term = || Some(Term::new(plan.hub, plan.spec, deadline)?.since(queued_at));
        Ok(M::Shape::until(answer, term))
    }

    /// Makes what the host is told of the call, which begins now: what the caller set, and what the
    /// turn that makes the call hands on.
    fn meta(&self, wants_reply: bool) -> Result<Meta, CallError> {
        let spec = M::spec();
        let hub = self.target.hub(spec)?;
        let now = hub.now();
        let own = now + self.timeout.unwrap_or_else(|| spec.default_timeout());
        let from = scope::with_current(|turn| match turn {
            // What a turn sends after its lease has ended could overtake the next owner.
            Some(turn) if turn.is_lost() => None,
            Some(turn) if wants_reply => {
                let deadline = own.min(turn.deadline());
                Some((deadline, turn.chain(), turn.trace(), turn.actor()))
            }
            Some(turn) => Some((own, Chain::default(), turn.trace(), turn.actor())),
            None => {
                let trace = hub.metrics().sample(|| hub.random());
                Some((own, Chain::default(), trace, None))
            }
        });
        let (deadline, chain, trace, actor) = from.ok_or_else(|| {
            let detail = "the slot of the actor that makes the call is not its node's any more";
            spec.error(Code::Moved).with_detail(detail)
        })?;
        scope::check_length(&chain, spec)?;
        let caller = Caller::local(hub.me().id, actor);
        let trace = trace.map(|trace| TraceContext {
            span_id: hub.random(),
            ..trace
        });
        let id = self.id.as_deref().copied();
        Ok(Meta::new(caller, deadline, now, chain).marked(trace, id))
    }

    fn split(self) -> (Ref<M::Interface>, Parts<M>) {
        let parts = Parts {
            args: Some(self.args),
            inbound: self.inbound,
        };
        (self.target, parts)
    }
}

impl<M: Method> State<M> {
    /// Makes the call that this is.
    fn begin(&mut self, cx: &Context<'_>) -> Result<(), CallError> {
        let Self::Made(request) = self else {
            return Ok(());
        };
        let meta = request.meta(true)?;
        let is_late = meta.deadline <= meta.queued_at;
        let direct = match is_late {
            false => direct::begin(request, &meta, cx),
            true => None,
        };
        let is_tried_once = matches!(request.target.address(), Address::Spawned(_));
        let direct = match direct {
            Some(direct) if is_tried_once => {
                *self = Self::There(direct, None);
                return Ok(());
            }
            direct => direct,
        };
        if let Self::Made(request) = mem::replace(self, Self::Over) {
            *self = match direct {
                Some(direct) => Self::There(direct, Some(Box::new((request, meta)))),
                None => match local::begin(request, meta)? {
                    Begun::Here(waiting) => Self::Here(waiting),
                    Begun::Elsewhere(request, meta) => {
                        Self::Far(Box::pin(request.run_far(meta, None)))
                    }
                },
            };
        }
        Ok(())
    }

    /// Goes on with a call of a service or a key whose first attempt has failed.
    fn go_on(&mut self, failed: Failed) -> Result<(), CallError> {
        match mem::replace(self, Self::Over) {
            Self::There(_, Some(spare)) => {
                let (request, meta) = *spare;
                *self = Self::Far(Box::pin(request.run_far(meta, Some(failed))));
                Ok(())
            }
            _ => Err(failed.1),
        }
    }
}

impl<M: Method> Future for Call<M> {
    type Output = M::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<M::Output> {
        let this = &mut self.0;
        if let Err(error) = this.begin(cx) {
            *this = State::Over;
            return Poll::Ready(M::output(Err(advised_for::<M>(error))));
        }
        let result = loop {
            break match this {
                State::Here(waiting) => ready!(waiting.poll(cx)),
                State::There(direct, _) => match ready!(direct.poll(cx)) {
                    Came::Back(result) => result,
                    Came::Failed(node, error) => match this.go_on((node, error)) {
                        Ok(()) => continue,
                        Err(error) => Err(error),
                    },
                },
                State::Far(far) => ready!(far.as_mut().poll(cx)),
                State::Made(_) | State::Over => panic!("a call is polled after it was ready"),
            };
        };
        *this = State::Over;
        Poll::Ready(M::output(result.map_err(advised_for::<M>)))
    }
}

fn advised_for<M: Method>(error: CallError) -> CallError {
    advised(error, <M::Interface as Definition>::KIND)
}

/// Nothing in it is pinned but what has a place of its own.
impl<M: Method> Unpin for Call<M> {}

impl<M: Method> fmt::Debug for Call<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut call = f.debug_struct("Call");
        call.field("method", &M::spec().path());
        if let State::Made(request) = &self.0 {
            call.field("target", &request.target);
        }
        call.finish_non_exhaustive()
    }
}
