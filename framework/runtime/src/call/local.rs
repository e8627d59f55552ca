//! A call to an actor of this process: the value moves, nothing is encoded.

use std::sync::atomic::{AtomicBool, Ordering};

use callboard_protocol::{
    code::{CallError, Code},
    schedule::Key,
};
use tokio::sync::oneshot;

use crate::actor::{Cell, Ended, Refusal};

use super::{
    client::{Items, Plan},
    envelope::Envelope,
    interface::{Answer, Definition, Interface, Kind, Method, MethodSpec, Port, Shape},
    meta::Queued,
    route::Place,
    stream::Inbound,
};

/// Puts the call into the place's mailbox and waits for the reply, if one is wanted.
pub(super) async fn call<M: Method>(
    place: &Place<M::Interface>,
    plan: &Plan,
    args: M::Args,
    items: Option<Items<M::Inbound>>,
) -> Result<Option<Answer<M>>, CallError> {
    let mut cell = place.cell.clone();
    let is_actor = <M::Interface as Definition>::KIND != Kind::Service;
    if is_actor && plan.meta.chain.contains(cell.addr()) {
        return Err(super::scope::cycle(plan, cell.addr()));
    }
    let (alive, broken) = oneshot::channel();
    let method = plan.face.method(M::INDEX)?;
    let (port, reply) = if plan.wants_reply {
        let (port, reply) = Port::<M>::local(method);
        (port, Some(reply))
    } else {
        (Port::<M>::discard(method), None)
    };
    // Nobody waits for a send, so nobody can drop it: its items flow to their end.
    let broken = plan.wants_reply.then_some(broken);
    let inbound = items.map(|items| Inbound::local(items, broken, plan.spec));
    let message = M::message(Envelope::new(args, inbound, port));
    let mut queued = Queued {
        meta: plan.meta.clone(),
        message,
    };
    let key = loop {
        let (back, refusal) = match cell.mailbox.push(queued) {
            Ok(key) => break key,
            Err(refused) => refused,
        };
        let error = refused(plan.spec, plan.hub.is_stopping(), cell.ended(), refusal);
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
    };
    plan.left.store(true, Ordering::Relaxed);
    let Some(reply) = reply else { return Ok(None) };
    let mut queued = RemoveOnDrop {
        cell: &cell,
        key: Some(key),
        left: &plan.left,
    };
    let result = reply.await;
    queued.key = None;
    match result {
        Ok(Ok(answer)) => Ok(Some(M::Shape::keep_alive(answer, Some(alive)))),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(plan.spec.error(Code::ReplyDropped)),
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

/// Says why a mailbox took no message.
pub(crate) fn refused(
    spec: &MethodSpec,
    stopping: bool,
    ended: Option<Ended>,
    why: Refusal,
) -> CallError {
    spec.error(match (why, ended) {
        (Refusal::Full, _) => Code::MailboxFull,
        (Refusal::Closed, Some(Ended::Failed | Ended::GaveUp)) => Code::Quarantined,
        (Refusal::Closed, _) if stopping => Code::NodeStopping,
        (Refusal::Closed, _) => Code::ActorStopped,
    })
}
