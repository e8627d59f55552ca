//! A call to an actor of this process: the value moves, nothing is encoded.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    time::Time,
};
use tokio::sync::oneshot;

use crate::{
    actor::{Cell, Ended, MessageKey, Refusal},
    env::Bug,
};

use super::{
    attempts::{Answered, Items, Plan, ran_out, span},
    client::Request,
    deadline::Wait,
    envelope::Envelope,
    face::{Face, FaceMethod},
    forward::{Unsent, ask_back},
    hub::Hub,
    interface::{Answer, Definition, Interface, Method, MethodSpec, Port, Shape},
    kind::Kind,
    meta::{Meta, Queued},
    port::Replied,
    reference::{Address, Ref},
    route::{CellIn, CellOf, Place, roomy},
    stream::Inbound,
    term::Term,
};

/// What became of a call that was looked at here.
pub(super) enum Begun<M: Method> {
    /// It is in a mailbox.
    Here(Waiting<M>),
    /// It is not one for the short way.
    Elsewhere(Request<M>, Meta),
}

/// What became of a send that was looked at here.
pub(super) enum Sent<M: Method> {
    Over(Result<(), CallError>),
    /// It is not one for the short way.
    Elsewhere(Request<M>, Meta),
}

/// A mailbox of this process on the short way: of an actor whose ref holds it, or of a service.
enum Near<'a, I: Interface> {
    Actor(&'a CellIn<I>, &'a Face),
    Service(CellOf<I>, Arc<Face>),
}

impl<I: Interface> Near<'_, I> {
    fn parts(&self) -> (&CellIn<I>, &Face) {
        match self {
            Self::Actor(cell, face) => (cell, face),
            Self::Service(cell, face) => (cell, face),
        }
    }
}

/// Finds the mailbox for a call that needs no route, no span and no stream.
fn near<'a, M: Method>(
    target: &'a Ref<M::Interface>,
    streams: bool,
    meta: &Meta,
    wants_reply: bool,
) -> Result<Option<Near<'a, M::Interface>>, CallError> {
    if streams || meta.is_sampled() {
        return Ok(None);
    }
    match target.address() {
        Address::Spawned(_) => {
            if target.near().is_none() {
                // The first call of a ref looks its face up.
                target.face(M::spec())?;
            }
            Ok(target.near().map(|(cell, face)| Near::Actor(cell, face)))
        }
        Address::Service => {
            let (hub, face) = (target.hub(M::spec())?, target.face(M::spec())?);
            let left = wants_reply.then(|| {
                let by = M::spec().answers_by(meta.deadline, meta.queued_at);
                by.saturating_since(meta.queued_at)
            });
            let cell = roomy::<M::Interface>(hub, &face, left, meta.queued_at);
            // A service that cannot be made gives back what waits in it, to be called elsewhere.
            let cell = cell.filter(|cell| cell.has_begun());
            if cell.is_some() {
                hub.count_call(meta.queued_at);
            }
            Ok(cell.map(|cell| Near::Service(cell, face)))
        }
        Address::Keyed(_) => Ok(None),
    }
}

/// Puts a call into a mailbox of this process, if that is all there is to do.
pub(super) fn begin<M: Method>(request: Request<M>, meta: Meta) -> Result<Begun<M>, CallError> {
    let Some(near) = near::<M>(&request.target, request.inbound.is_some(), &meta, true)? else {
        return Ok(Begun::Elsewhere(request, meta));
    };
    let (cell, face) = near.parts();
    let (hub, spec) = (request.target.hub(M::spec())?, M::spec());
    let method = face.method(M::INDEX)?;
    method.metrics.began();
    let queued_at = meta.queued_at;
    let deadline = spec.answers_by(meta.deadline, queued_at);
    let ends_by = meta.deadline;
    let left = Some(deadline.saturating_since(queued_at));
    let begins_by = cell.begins_by(deadline, left, queued_at);
    let (port, reply) = Port::<M>::local(spec);
    let admitted = refuse_cycle::<M>(hub, &meta, cell)
        .and_then(|()| refuse_early::<M>(hub, method, cell, left, queued_at));
    let pushed = admitted.and_then(|()| {
        let queued = queued::<M>(request.args, None, port, meta, begins_by);
        let pushed = cell.mailbox.push(queued);
        pushed.map_err(|(queued, refusal)| {
            let error = refused(spec, hub, cell, refusal);
            give_back::<M>(method, queued, &error);
            error
        })
    });
    let key = pushed.inspect_err(|error| {
        let took = hub.now().saturating_since(queued_at);
        method.metrics.ended(Some(error.code()), took);
    })?;
    let kept = match near {
        Near::Actor(..) => None,
        Near::Service(cell, face) => Some((cell, face)),
    };
    Ok(Begun::Here(Waiting {
        target: request.target,
        kept,
        reply,
        key: Some(key),
        deadline,
        ends_by,
        queued_at,
        wait: Wait::default(),
    }))
}

/// Puts a send into a mailbox of this process, if that is all there is to do.
pub(super) fn send<M: Method>(request: Request<M>, meta: Meta) -> Sent<M> {
    let spec = M::spec();
    let near = match near::<M>(&request.target, request.inbound.is_some(), &meta, false) {
        Ok(Some(near)) => near,
        Ok(None) => return Sent::Elsewhere(request, meta),
        Err(error) => return Sent::Over(Err(error)),
    };
    let (cell, face) = near.parts();
    let method = match face.method(M::INDEX) {
        Ok(method) => method,
        Err(error) => return Sent::Over(Err(error)),
    };
    let begins_by = meta.deadline;
    let queued = queued::<M>(
        request.args,
        None,
        Port::<M>::discard(spec),
        meta,
        begins_by,
    );
    let pushed = cell.mailbox.push(queued);
    Sent::Over(match pushed {
        Ok(_) => {
            method.metrics.sent(None);
            Ok(())
        }
        Err((queued, refusal)) => request.target.hub(spec).and_then(|hub| {
            let error = refused(spec, hub, cell, refusal);
            give_back::<M>(method, queued, &error);
            method.metrics.sent(Some(error.code()));
            Err(error)
        }),
    })
}

/// A call that waits for the reply of a mailbox of this process. Dropping it takes the message out
/// again, unless its turn has begun.
pub(super) struct Waiting<M: Method> {
    target: Ref<M::Interface>,
    /// Of a service; the ref of an actor holds both itself.
    kept: Option<(CellOf<M::Interface>, Arc<Face>)>,
    reply: oneshot::Receiver<Replied<Answer<M>>>,
    /// Nothing once the call has ended.
    key: Option<MessageKey>,
    /// When the reply has to be there, or to have begun.
    deadline: Time,
    /// When a streamed reply has to have ended.
    ends_by: Time,
    queued_at: Time,
    wait: Wait,
}

impl<M: Method> Waiting<M> {
    /// Becomes ready with the reply, or with what the deadline makes of the call.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer<M>, CallError>> {
        let hub = self.target.hub(M::spec())?;
        let replied = match Pin::new(&mut self.reply).poll(cx) {
            Poll::Ready(replied) => replied.ok(),
            Poll::Pending => {
                let is_forgotten = hub.env().plant.strikes(Bug::ForgottenDeadline);
                let at = if is_forgotten {
                    Time::MAX
                } else {
                    self.deadline
                };
                ready!(self.wait.poll(hub.deadlines(), at, cx));
                let left = !self.withdraw();
                let within = self.deadline.saturating_since(self.queued_at);
                let hub = self.target.hub(M::spec())?;
                let error = ran_out(hub, M::spec(), left, within, None);
                let error = match left {
                    true => error,
                    false => self.held(error, hub.now()),
                };
                return Poll::Ready(self.ended(Err(error), Time::ZERO));
            }
        };
        let dropped = || M::spec().error(Code::ReplyDropped);
        Poll::Ready(match replied {
            Some(replied) => self.ended(replied.result, replied.at),
            None => self.ended(Err(dropped()), Time::ZERO),
        })
    }

    /// Counts the end of the call.
    fn ended(
        &mut self,
        result: Result<Answer<M>, CallError>,
        at: Time,
    ) -> Result<Answer<M>, CallError> {
        self.key = None;
        let hub = self.target.hub(M::spec())?;
        self.wait.end(hub.deadlines());
        let at = if at == Time::ZERO { hub.now() } else { at };
        if let Some((_, method)) = self.place() {
            let code = result.as_ref().err().map(CallError::code);
            let took = at.saturating_since(self.queued_at);
            method.metrics.ended(code, took);
        }
        let term = || Some(Term::new(hub, M::spec(), self.ends_by)?.since(self.queued_at));
        result.map(|answer| M::Shape::until(answer, term))
    }

    /// Adds which turn has kept the actor for as long as the call has waited.
    fn held(&self, error: CallError, now: Time) -> CallError {
        let Some((cell, _)) = self.place() else {
            return error;
        };
        let held = cell.held_by().filter(|(_, since)| *since <= self.queued_at);
        let spec = held.and_then(|(row, _)| M::Interface::METHODS.get(row));
        let Some((spec, (_, since))) = spec.zip(held) else {
            return error;
        };
        let detail = format!(
            "{}; the turn of {} has had the actor for {}, and has not ended",
            error.detail(),
            spec.path(),
            span(now.saturating_since(since))
        );
        error.with_detail(detail)
    }

    /// Takes the message out of the mailbox; returns whether it was there.
    fn withdraw(&mut self) -> bool {
        let Some((key, (cell, method))) = self.key.zip(self.place()) else {
            return false;
        };
        // The message is dropped here, AFTER the mailbox's lock was released.
        let message = cell.mailbox.remove(key);
        if message.is_some() {
            method
                .metrics
                .served()
                .ended(Some(Code::ActorStopped), None);
        }
        message.is_some()
    }

    fn place(&self) -> Option<(&CellIn<M::Interface>, &FaceMethod)> {
        let (cell, face) = match &self.kept {
            Some((cell, face)) => (&**cell, &**face),
            None => self.target.near()?,
        };
        Some((cell, face.methods.get(M::INDEX)?))
    }
}

impl<M: Method> Drop for Waiting<M> {
    fn drop(&mut self) {
        if self.key.is_none() {
            return;
        }
        self.withdraw();
        if let Some(hub) = self.target.try_hub() {
            self.wait.end(hub.deadlines());
        }
        if let Some((_, method)) = self.place() {
            method.metrics.dropped();
        }
    }
}

/// Puts the call into the place's mailbox and waits for the reply, if one is wanted: the way of a call
/// that is traced, that brings a stream, or that was routed.
pub(super) async fn call<M: Method>(
    place: &Place<M::Interface>,
    plan: &Plan<'_>,
    args: &mut Option<M::Args>,
    items: Option<Items<M::Inbound>>,
) -> Result<Answered<M>, CallError> {
    refuse_cycle::<M>(plan.hub, &plan.meta, &place.cell)?;
    let method = plan.face.method(M::INDEX)?;
    let (now, left) = (plan.meta.queued_at, plan.patience());
    refuse_early::<M>(plan.hub, method, &place.cell, left, now)?;
    let (port, mut reply) = if plan.wants_reply {
        let (port, reply) = Port::<M>::local(plan.spec);
        (port, Some(reply))
    } else {
        (Port::<M>::discard(plan.spec), None)
    };
    let port = port.of_keyed(<M::Interface as Definition>::KIND == Kind::Keyed);
    let gone = || plan.spec.error(Code::NoHost);
    let taken = args.take().ok_or_else(gone)?;
    let (inbound, alive) = match items {
        Some(items) => {
            // Nobody waits for a send, so nobody can drop it: its items flow to their end.
            let (alive, broken) = plan.wants_reply.then(oneshot::channel).unzip();
            (Some(Inbound::local(items, broken, plan.spec)), alive)
        }
        None => (None, None),
    };
    let begins_by = place.cell.begins_by(plan.meta.deadline, left, now);
    let queued = queued::<M>(taken, inbound, port, plan.meta.clone(), begins_by);
    let pushed = push::<M>(place, plan, method, queued);
    let (cell, key) = pushed.map_err(|(error, unsent)| {
        let refused = reply.as_mut().and_then(|reply| reply.try_recv().ok());
        *args = refused.and_then(args_of::<M>);
        if let Some(unsent) = unsent {
            *args = unsent.into_args();
        }
        error
    })?;
    let before = plan.left.swap(true, Ordering::Relaxed);
    let Some(reply) = reply else {
        return Ok(Answered {
            answer: None,
            at: plan.meta.queued_at,
        });
    };
    let mut queued = RemoveOnDrop {
        cell: &cell,
        method,
        key: Some(key),
        left: &plan.left,
        before,
    };
    let replied = reply.await;
    queued.key = None;
    let Ok(mut replied) = replied else {
        return Err(plan.spec.error(Code::ReplyDropped));
    };
    let back = replied.back.take();
    match replied.result {
        Ok(answer) => Ok(Answered {
            answer: Some(M::Shape::keep_alive(answer, alive)),
            at: plan.hub.now(),
        }),
        Err(error) => {
            *args = back.and_then(|back| Some(*back.downcast().ok()?));
            Err(error)
        }
    }
}

/// Returns the arguments of a call that has not run.
fn args_of<M: Method>(replied: Replied<Answer<M>>) -> Option<M::Args> {
    Some(*replied.back?.downcast().ok()?)
}

fn queued<M: Method>(
    args: M::Args,
    inbound: Option<Inbound<M::Inbound>>,
    port: Port<M>,
    meta: Meta,
    begins_by: Time,
) -> Queued<<M::Interface as Interface>::Msg> {
    Queued {
        began: meta.queued_at,
        begins_by,
        meta,
        message: M::message(Envelope::new(args, inbound, port)),
    }
}

/// Refuses a call that would wait for an actor that waits for it.
fn refuse_cycle<M: Method>(
    hub: &Hub,
    meta: &Meta,
    cell: &CellIn<M::Interface>,
) -> Result<(), CallError> {
    let is_actor = <M::Interface as Definition>::KIND != Kind::Service;
    if is_actor && meta.chain.contains(cell.addr()) {
        return Err(super::scope::cycle(hub, meta, M::spec(), cell.addr()));
    }
    Ok(())
}

/// Refuses a call that would find no room or wait too long, and counts it.
fn refuse_early<M: Method>(
    hub: &Hub,
    method: &FaceMethod,
    cell: &CellIn<M::Interface>,
    left: Option<Duration>,
    now: Time,
) -> Result<(), CallError> {
    cell.admits(left, now).map_err(|refusal| {
        let error = refused(M::spec(), hub, cell, refusal);
        method.metrics.served().ended(Some(error.code()), None);
        error
    })
}

/// Puts the message into the mailbox of the place, or into that of the key's next activation when
/// this one has just ended; returns which took it, and by what key it is taken out again. A send that is to
/// be made elsewhere gives its arguments back.
fn push<M: Method>(
    place: &Place<M::Interface>,
    plan: &Plan<'_>,
    method: &FaceMethod,
    mut queued: Queued<<M::Interface as Interface>::Msg>,
) -> Result<(CellOf<M::Interface>, MessageKey), Unpushed> {
    let mut cell = place.cell.clone();
    loop {
        let (back, refusal) = match cell.mailbox.push(queued) {
            Ok(key) => return Ok((cell, key)),
            Err(refused) => refused,
        };
        let error = refused(plan.spec, plan.hub, &cell, refusal);
        let next = if error.code() == Code::ActorStopped {
            place.again()
        } else {
            None
        };
        let error = match next {
            Some(Ok(next)) => {
                (cell, queued) = (next, back);
                continue;
            }
            Some(Err(error)) => error,
            None => error,
        };
        let mut unsent = None;
        if error.code() == Code::Moved {
            method.metrics.served().ended(Some(error.code()), None);
            let why = error.clone();
            unsent = ask_back(|| <M::Interface as Interface>::refuse(back.message, why));
        } else {
            give_back::<M>(method, back, &error);
        }
        return Err((error, unsent));
    }
}

/// Why no mailbox took a message, and the arguments of a send that is to be made elsewhere.
type Unpushed = (CallError, Option<Unsent>);

/// Counts a message that no mailbox took. Nobody listens to what its port says.
fn give_back<M: Method>(
    method: &FaceMethod,
    queued: Queued<<M::Interface as Interface>::Msg>,
    error: &CallError,
) {
    method.metrics.served().ended(Some(error.code()), None);
    drop(queued);
}

/// Takes a dropped call out of the mailbox, unless its turn has begun.
struct RemoveOnDrop<'a, T> {
    cell: &'a Cell<T>,
    method: &'a FaceMethod,
    key: Option<MessageKey>,
    /// Whether the call may have run; not for this attempt if it was still waiting.
    left: &'a AtomicBool,
    /// Whether an earlier attempt may have run.
    before: bool,
}

impl<T> Drop for RemoveOnDrop<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // The message is dropped here, AFTER the mailbox's lock was released.
            let message = self.cell.mailbox.remove(key);
            if message.is_some() {
                let served = self.method.metrics.served();
                served.ended(Some(Code::ActorStopped), None);
                self.left.store(self.before, Ordering::Relaxed);
            }
        }
    }
}

/// Says why the mailbox of an actor of this node took no message.
pub(crate) fn refused<T>(spec: &MethodSpec, hub: &Hub, cell: &Cell<T>, why: Refusal) -> CallError {
    match (why, cell.ended()) {
        (Refusal::Full, _) => spec.error(Code::MailboxFull).with_detail(format!(
            "{} calls wait in it, its setting `mailbox`",
            cell.settings().mailbox
        )),
        (Refusal::Slow { wait, most }, _) => spec.error(Code::MailboxFull).with_detail(format!(
            "the wait in it is {wait:.0?}, and may be {most:.0?}"
        )),
        // Its quarantine is over: a ref that is held here finds it still, and others do not.
        (Refusal::Closed, Some(Ended::Failed | Ended::GaveUp))
            if !cell.is_service() && hub.actor(cell.addr().actor).is_none() =>
        {
            let node = format!("node {}", hub.me().name);
            spec.error_on(Code::ActorGone, &node).with_detail(format!(
                "{}; it was given up: {}",
                hub.gone(&cell.addr()),
                cell.given_up()
            ))
        }
        (Refusal::Closed, Some(Ended::Failed | Ended::GaveUp)) => quarantined(spec, hub, cell),
        (Refusal::Closed, _) if hub.is_stopping() => {
            let why = hub.over().unwrap_or_default();
            spec.error(Code::NodeStopping).with_detail(why)
        }
        (Refusal::Closed, _) => spec.error(Code::ActorStopped),
    }
}

/// Says why an actor or a service of this node does not run again.
pub(crate) fn quarantined<T>(spec: &MethodSpec, hub: &Hub, cell: &Cell<T>) -> CallError {
    let node = format!("node {}", hub.me().name);
    let (code, what) = match cell.is_service() {
        true => (
            Code::ServiceGivenUp,
            format!("service {} is not started again", cell.name()),
        ),
        false => (
            Code::Quarantined,
            format!("actor {}@{} is not restarted", cell.name(), cell.addr()),
        ),
    };
    spec.error_on(code, &node)
        .with_detail(format!("{what}: {}", cell.given_up()))
}
