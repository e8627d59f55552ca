//! A call to an actor of this process: the value moves, nothing is encoded.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use callboard_protocol::{
    code::{CallError, Code},
    schedule::Key,
};
use tokio::sync::oneshot;

use crate::actor::{Cell, Ended, Refusal};

use super::{
    client::{Answered, Items, Plan},
    envelope::Envelope,
    hub::Hub,
    interface::{Definition, Interface, Kind, Method, MethodSpec, Port, Shape},
    meta::Queued,
    route::{CellOf, Place},
    stream::Inbound,
};

/// Puts the call into the place's mailbox and waits for the reply, if one is wanted.
pub(super) async fn call<M: Method>(
    place: &Place<M::Interface>,
    plan: &Plan<'_>,
    args: M::Args,
    items: Option<Items<M::Inbound>>,
) -> Result<Answered<M>, CallError> {
    let is_actor = <M::Interface as Definition>::KIND != Kind::Service;
    if is_actor && plan.meta.chain.contains(place.cell.addr()) {
        return Err(super::scope::cycle(plan, place.cell.addr()));
    }
    let method = plan.face.method(M::INDEX)?;
    let (port, reply) = if plan.wants_reply {
        let (port, reply) = Port::<M>::local(method);
        (port, Some(reply))
    } else {
        (Port::<M>::discard(method), None)
    };
    let (inbound, alive) = match items {
        Some(items) => {
            // Nobody waits for a send, so nobody can drop it: its items flow to their end.
            let (alive, broken) = plan.wants_reply.then(oneshot::channel).unzip();
            (Some(Inbound::local(items, broken, plan.spec)), alive)
        }
        None => (None, None),
    };
    let message = M::message(Envelope::new(args, inbound, port));
    let queued = Queued {
        meta: Arc::new(plan.meta.clone()),
        message,
        began: plan.meta.queued_at,
    };
    let (cell, key) = push::<M>(place, plan, queued)?;
    plan.left.store(true, Ordering::Relaxed);
    let Some(reply) = reply else {
        return Ok(Answered {
            answer: None,
            at: plan.meta.queued_at,
        });
    };
    let mut queued = RemoveOnDrop {
        cell: &cell,
        key: Some(key),
        left: &plan.left,
    };
    let result = reply.await;
    queued.key = None;
    match result {
        Ok(Ok(answer)) => Ok(Answered {
            answer: Some(M::Shape::keep_alive(answer, alive)),
            at: plan.hub.now(),
        }),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(plan.spec.error(Code::ReplyDropped)),
    }
}

/// Puts the message into the mailbox of the place, or into that of the key's next activation when
/// this one has just ended; returns which took it, and by what key it is taken out again.
fn push<M: Method>(
    place: &Place<M::Interface>,
    plan: &Plan<'_>,
    mut queued: Queued<<M::Interface as Interface>::Msg>,
) -> Result<(CellOf<M::Interface>, Key), CallError> {
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
        match next {
            Some(Ok(next)) => (cell, queued) = (next, back),
            Some(Err(error)) => return Err(give_back::<M>(back, error)),
            None => return Err(give_back::<M>(back, error)),
        }
    }
}

/// Answers a message that no mailbox took, so that its port does not answer by itself.
fn give_back<M: Method>(
    queued: Queued<<M::Interface as Interface>::Msg>,
    error: CallError,
) -> CallError {
    <M::Interface as Interface>::refuse(queued.message, error.clone());
    error
}

/// Takes a dropped call out of the mailbox, unless its turn has begun.
struct RemoveOnDrop<'a, T> {
    cell: &'a Cell<T>,
    key: Option<Key>,
    /// Whether the call may have run; not if it was still waiting.
    left: &'a AtomicBool,
}

impl<T> Drop for RemoveOnDrop<'_, T> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // The message is dropped here, AFTER the mailbox's lock was released.
            let message = self.cell.mailbox.remove(key);
            if message.is_some() {
                self.left.store(false, Ordering::Relaxed);
            }
        }
    }
}

/// Says why the mailbox of an actor of this node took no message.
pub(crate) fn refused<T>(spec: &MethodSpec, hub: &Hub, cell: &Cell<T>, why: Refusal) -> CallError {
    match (why, cell.ended()) {
        (Refusal::Full, _) => spec.error(Code::MailboxFull),
        (Refusal::Closed, Some(Ended::Failed | Ended::GaveUp)) => quarantined(spec, hub, cell),
        (Refusal::Closed, _) if hub.is_stopping() => spec.error(Code::NodeStopping),
        (Refusal::Closed, _) => spec.error(Code::ActorStopped),
    }
}

/// Says why an actor of this node does not run again, and what to do about it. The reason comes
/// last: it ends with the actor's own words, which may be long.
pub(crate) fn quarantined<T>(spec: &MethodSpec, hub: &Hub, cell: &Cell<T>) -> CallError {
    let node = format!("node {}", hub.me().name);
    spec.error_on(Code::Quarantined, &node).with_detail(format!(
        "actor {}@{} is not restarted; once the cause is mended, stop it to release it, or spawn a \
         new one; {}",
        cell.name(),
        cell.addr(),
        cell.given_up()
    ))
}
