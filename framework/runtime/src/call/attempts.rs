//! The attempts of a call: what they share, when there is another one, and what is said when time is
//! up.
//!
//! `Plan` → route → `local` or `remote` → reply, or once more. The deadline is around all of it. Knows
//! nothing of how a caller sets a call up.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code, Ran, Retry},
    id::NodeId,
    time::Time,
};
use futures_core::Stream;

use crate::env::Bug;

use super::{
    deadline::Alarm,
    face::Face,
    hub::Hub,
    interface::{Answer, Interface, Method, MethodSpec},
    local,
    meta::Meta,
    placed::Search,
    reference::{Address, Ref},
    remote,
    route::{Route, find_route, has_untried_host, is_for_others},
    session::Session,
};

/// The streamed argument of a call, before it goes anywhere.
pub(super) type Items<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

/// What all attempts of a call share.
pub(super) struct Plan<'a> {
    pub(super) hub: &'a Arc<Hub>,
    pub(super) face: Arc<Face>,
    pub(super) spec: &'static MethodSpec,
    pub(super) meta: Meta,
    /// Whether any attempt may have reached a handler.
    pub(super) left: AtomicBool,
    /// Whether the attempt waits for room in the send buffer of its link.
    pub(super) waits_for_room: AtomicBool,
    /// Why a call of a keyed actor looks for the owner of its slot, while it does.
    pub(super) sought: Mutex<Option<CallError>>,
    /// The id of the peer that the last attempt went to; 0 while none has gone to one.
    asked: AtomicU64,
    /// Who looks at the deadline: a [`Watch`].
    watched: AtomicU8,
    pub(super) wants_reply: bool,
}

impl<'a> Plan<'a> {
    pub(super) fn new<M: Method>(
        target: &'a Ref<M::Interface>,
        meta: Meta,
        wants_reply: bool,
    ) -> Result<Self, CallError> {
        let spec = M::spec();
        Ok(Plan {
            hub: target.hub(spec)?,
            face: target.face(spec)?,
            spec,
            meta,
            left: AtomicBool::new(false),
            waits_for_room: AtomicBool::new(false),
            sought: Mutex::default(),
            asked: AtomicU64::new(0),
            watched: AtomicU8::new(Watch::Alarm as u8),
            wants_reply,
        })
    }

    /// Returns how long the caller waits for a reply; nothing for a send.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.wants_reply.then(|| self.allowed())
    }

    /// Returns how long the call may take until its reply is there, or has begun.
    pub(super) fn allowed(&self) -> Duration {
        self.answers_by().saturating_since(self.meta.queued_at)
    }

    fn answers_by(&self) -> Time {
        self.spec
            .answers_by(self.meta.deadline, self.meta.queued_at)
    }

    /// Says who looks at the deadline from now on.
    pub(super) fn watch(&self, by: Watch) {
        self.watched.store(by as u8, Ordering::Relaxed);
    }

    fn is_watched(&self, by: Watch) -> bool {
        self.watched.load(Ordering::Relaxed) == by as u8
    }
}

/// Who looks at the deadline of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Watch {
    /// The call's own alarm.
    Alarm,
    /// The table of calls that the attempt waits in.
    Table,
    /// Nobody any more: it has come.
    Due,
}

/// What a call came back with.
pub(super) struct Answered<M: Method> {
    /// Nothing for a send.
    pub(super) answer: Option<Answer<M>>,
    pub(super) at: Time,
}

/// An attempt that reached a node and failed there: the node, and why.
pub(super) type Failed = (NodeId, CallError);

/// What an attempt uses up: arguments that moved into a mailbox of this process, and items, are
/// gone after it.
pub(super) struct Parts<M: Method> {
    pub(super) args: Option<M::Args>,
    pub(super) inbound: Option<Items<M::Inbound>>,
}

impl<M: Method> Parts<M> {
    /// Makes the call until its deadline; `failed` is its first attempt, if that was made before.
    pub(super) async fn in_time(
        self,
        target: &Ref<M::Interface>,
        plan: &Plan<'_>,
        failed: Option<Failed>,
    ) -> Result<Answered<M>, CallError> {
        // A deadline that had come before the call was made: it must not be said that it may have run.
        if plan.wants_reply && plan.allowed().is_zero() && failed.is_none() {
            return Err(too_late(plan));
        }
        let is_forgotten = plan.hub.env().plant.strikes(Bug::ForgottenDeadline);
        let at = if is_forgotten {
            Time::MAX
        } else {
            plan.answers_by()
        };
        let mut alarm = pin!(Alarm::new(plan.hub.deadlines(), at));
        let mut attempts = pin!(Some(self.attempts(target, plan, failed)));
        let result = poll_fn(|cx| {
            if let Some(attempts) = attempts.as_mut().as_pin_mut()
                && let Poll::Ready(result) = attempts.poll(cx)
            {
                return Poll::Ready(Some(result));
            }
            if plan.is_watched(Watch::Table) {
                return Poll::Pending;
            }
            if plan.is_watched(Watch::Due) {
                return Poll::Ready(None);
            }
            alarm.as_mut().poll(cx).map(|()| None)
        });
        if let Some(result) = result.await {
            return result;
        }
        // Dropped BEFORE the look: a call that was still in its queue is taken out and has not run.
        attempts.set(None);
        Err(too_late(plan))
    }

    /// Tries until there is an answer, an error that must not be retried, or no budget.
    async fn attempts(
        mut self,
        target: &Ref<M::Interface>,
        plan: &Plan<'_>,
        mut failed: Option<Failed>,
    ) -> Result<Answered<M>, CallError> {
        let mut tried = Vec::new();
        let mut earlier: Option<CallError> = None;
        let mut search = Search::of(target, plan);
        if let Some((node, _)) = &failed {
            plan.left.store(true, Ordering::Relaxed);
            if let Some(search) = &mut search {
                search.began_at(*node);
            }
        } else if *target.address() == Address::Service {
            // Nothing else is tried again.
            plan.hub.count_call(plan.meta.queued_at);
        }
        for attempt in 1.. {
            let error = match failed.take() {
                Some((node, error)) => {
                    tried.push(node);
                    error
                }
                None => match self.attempt(target, plan, &mut tried).await {
                    Ok(answered) => return Ok(answered),
                    Err(error) => error,
                },
            };
            let can_go = self.can_go_again(plan);
            let retry = match &mut search {
                // Apart, so that other calls have no place for it.
                Some(search) => can_go && Box::pin(search.again(plan, &error)).await,
                None => can_go && may_retry(plan, target, &error, attempt, &tried),
            };
            // An attempt that may have run counts for the call, whatever a later one says of itself.
            let error = match earlier.take() {
                Some(earlier) if error.ran() != Ran::MayHaveRun => earlier,
                _ => error,
            };
            if !retry {
                return Err(error);
            }
            tracing::debug!(%error, attempt, "retrying");
            earlier = Some(error).filter(|error| error.ran() == Ran::MayHaveRun);
            if let Some(method) = plan.face.methods.get(M::INDEX) {
                method.metrics.retried();
            }
            if search.is_none() {
                Box::pin(tokio::time::sleep(backoff(plan, attempt))).await;
            }
        }
        Err(plan.spec.error(Code::NoHost))
    }

    /// Tries once; a node that failed is added to `tried`.
    async fn attempt(
        &mut self,
        target: &Ref<M::Interface>,
        plan: &Plan<'_>,
        tried: &mut Vec<NodeId>,
    ) -> Result<Answered<M>, CallError> {
        let gone = || plan.spec.error(Code::NoHost);
        let (node, result) = match find_route(target, plan, M::INDEX, tried).await? {
            Route::Local(place) => {
                let items = self.inbound.take();
                let result = local::call::<M>(&place, plan, &mut self.args, items).await;
                (plan.hub.me().id, result)
            }
            Route::Remote(session, tenure) => {
                let args = self.args.as_mut().ok_or_else(gone)?;
                let items = &mut self.inbound;
                plan.asked.store(session.node().0, Ordering::Relaxed);
                let started = match tried.is_empty() {
                    true => plan.meta.queued_at,
                    false => plan.hub.now(),
                };
                let result =
                    remote::call::<M>(&session, plan, target, args, items, (started, tenure)).await;
                (session.node(), result)
            }
        };
        if result.is_err() {
            tried.push(node);
        }
        result
    }

    fn can_go_again(&self, plan: &Plan<'_>) -> bool {
        self.args.is_some() && (self.inbound.is_some() || !plan.spec.options.streams_args)
    }
}

/// Says whether a call may be tried again: by the code's rule, and within the attempts and the
/// budget. Only a service has another place to try; a second try at the same actor would be
/// overtaken by the sender's next message while it waits. A host that has too much to do is not
/// asked again by the call that it refused: that would add to what it has to do.
fn may_retry<I: Interface>(
    plan: &Plan<'_>,
    target: &Ref<I>,
    error: &CallError,
    attempt: u32,
    tried: &[NodeId],
) -> bool {
    let safe = match error.retry() {
        Retry::Elsewhere => true,
        Retry::IfIdempotent => {
            plan.spec.options.idempotent || plan.hub.env().plant.strikes(Bug::UnsafeRetry)
        }
        Retry::Never => false,
    };
    safe && *target.address() == Address::Service
        && error.code() != Code::SchemaMismatch
        && attempt < plan.hub.call_limits().attempts_max
        && (!is_for_others(error.code()) || has_untried_host(plan, tried))
        && plan.hub.take_retry()
}

/// Waits between half and all of a time that doubles, so that callers who failed together do not
/// come back together.
fn backoff(plan: &Plan<'_>, attempt: u32) -> Duration {
    let most = plan.hub.call_limits().retry_backoff * 2_u32.saturating_pow(attempt.min(10) - 1);
    let random = plan.hub.random() as f64 / u64::MAX as f64;
    most.mul_f64(0.5 + random / 2.0)
}

/// Makes the error of a call whose deadline has come, or whose node has stopped.
fn too_late(plan: &Plan<'_>) -> CallError {
    let left = plan.left.load(Ordering::Relaxed);
    let waits_for_room = plan.waits_for_room.load(Ordering::Relaxed);
    let sought = plan.sought.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(last) = &*sought
        && !left
        && !plan.hub.deadlines().is_over()
    {
        return Search::unowned(plan.spec, last);
    }
    drop(sought);
    let is_full = waits_for_room && !left && !plan.hub.deadlines().is_over();
    if is_full {
        let detail = format!("for {}", span(plan.allowed()));
        return plan.spec.error(Code::SendBufferFull).with_detail(detail);
    }
    let asked = NodeId(plan.asked.load(Ordering::Relaxed));
    let asked = plan.hub.session(asked);
    ran_out(plan.hub, plan.spec, left, plan.allowed(), asked.as_deref())
}

/// Makes the error of a call whose deadline has come, or whose node has stopped; `left` says whether
/// it may have reached a handler, `within` how long it was allowed to take, `asked` which peer it went to, if it
/// went to one.
pub(super) fn ran_out(
    hub: &Hub,
    spec: &MethodSpec,
    left: bool,
    within: Duration,
    asked: Option<&Session>,
) -> CallError {
    if hub.deadlines().is_over() {
        let code = if left {
            Code::PeerLost
        } else {
            Code::NodeStopping
        };
        return spec.error(code).with_detail(hub.over().unwrap_or_default());
    }
    let (code, what) = match left {
        true => (Code::DeadlineExceeded, "no reply"),
        false => (Code::DeadlineBeforeSend, "it did not leave"),
    };
    let why = match asked {
        Some(peer) if peer.link.is_leaving() => format!("; {} is stopping", peer.peer_name()),
        None if hub.is_stopping() => "; this node is stopping".to_owned(),
        _ => String::new(),
    };
    let error = match asked {
        Some(peer) => spec.error_on(code, &peer.peer_name()),
        None => spec.error(code),
    };
    error.with_detail(format!("{what} within {}{why}", span(within)))
}

/// Writes a time for a reader. What a turn has left of its own deadline has digits that nobody
/// looks at.
pub(crate) fn span(time: Duration) -> String {
    let grain = match time.as_millis() {
        0 => Duration::from_micros(1),
        1..100 => Duration::from_micros(100),
        _ => Duration::from_millis(1),
    };
    let grains = (time.as_nanos() + grain.as_nanos() / 2) / grain.as_nanos();
    let rounded = grain.checked_mul(u32::try_from(grains).unwrap_or(u32::MAX));
    format!("{:?}", rounded.unwrap_or(time))
}

pub(super) fn call_span(plan: &Plan<'_>) -> Option<tracing::Span> {
    let trace = plan.meta.trace().filter(|_| plan.meta.is_sampled())?;
    Some(tracing::info_span!(
        "call",
        method = %plan.spec.path(),
        node = %plan.hub.me().name,
        trace_id = format_args!("{:032x}", trace.trace_id),
        span_id = format_args!("{:016x}", trace.span_id),
    ))
}
