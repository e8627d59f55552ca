//! Watching an actor: one `Down` when it will not run again, whether it lived here or on a peer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use callboard_protocol::{
    id::{ActorAddr, CallId},
    wire::header::{DownReason, Watch as WatchFrame},
};
use tokio::sync::oneshot;

use crate::{actor::Ended, net::AppendError};

use super::{hub::Hub, interface::Reference, reference::Address, session::Session};

/// Says that a watched actor will not run again, or cannot be reached any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Down {
    /// Why.
    pub reason: DownReason,
}

/// Waits until an actor will not run again: it was stopped, it was given up, its node is lost, or
/// it was gone before. A restart is not an end.
///
/// A service has no life of its own; watching one waits forever. A keyed actor's activations end
/// and begin again; watching one waits forever too.
///
/// The future keeps a ref of its own, so it can be handed to a task: `tokio::spawn(watch(&room))`.
///
/// # Cancel safety
/// Dropping it ends the watch, here and on the actor's node.
pub fn watch<R: Reference>(target: &R) -> impl Future<Output = Down> + Send + use<R> {
    watched(target.clone())
}

async fn watched<R: Reference>(target: R) -> Down {
    let raw = R::as_raw(&target);
    let (Address::Spawned(addr), Some(hub)) = (raw.address(), raw.try_hub()) else {
        return std::future::pending().await;
    };
    let reason = if hub.is_mine(addr) {
        local(hub, *addr).await
    } else if addr.node == hub.me().id {
        // Of an earlier life of this node, which has no link to itself.
        DownReason::Gone
    } else {
        remote(hub, *addr).await
    };
    Down { reason }
}

async fn local(hub: &Arc<Hub>, addr: ActorAddr) -> DownReason {
    match hub.actor(addr.actor) {
        Some(actor) => reason(actor.wait_ended().await),
        None => DownReason::Gone,
    }
}

async fn remote(hub: &Arc<Hub>, addr: ActorAddr) -> DownReason {
    let Some(session) = hub.session(addr.node) else {
        return DownReason::NodeLost;
    };
    let (id, down) = session.watches.open();
    let _open = Open {
        session: &session,
        id,
    };
    loop {
        let frame = WatchFrame {
            id,
            incarnation: addr.incarnation,
            actor: addr.actor,
        };
        let appended = session.link.append(LANE, |buffer| {
            frame.encode(buffer);
            Ok::<_, std::convert::Infallible>(())
        });
        match appended {
            Ok(_) => break,
            Err(AppendError::Full) => session.link.writable(LANE).await,
            Err(_) => return DownReason::NodeLost,
        }
    }
    down.await.unwrap_or(DownReason::NodeLost)
}

/// Returns the reason as it goes over the wire.
pub(super) fn reason(ended: Ended) -> DownReason {
    match ended {
        Ended::Stopped => DownReason::Stopped,
        Ended::Failed | Ended::GaveUp => DownReason::Failed,
    }
}

struct Open<'a> {
    session: &'a Arc<Session>,
    id: CallId,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if self.session.watches.close(self.id) {
            self.session.cancel(LANE, self.id);
        }
    }
}

/// The watches of one session on actors of its peer.
#[derive(Debug, Default)]
pub(crate) struct Watches(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    waiting: BTreeMap<CallId, oneshot::Sender<DownReason>>,
    over: bool,
}

impl Watches {
    fn open(&self) -> (CallId, oneshot::Receiver<DownReason>) {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
        inner.next += 1;
        // Watches and calls are cancelled by the same frame, so their numbers must differ.
        let id = CallId(inner.next | WATCH_BIT);
        if !inner.over {
            inner.waiting.insert(id, sender);
        }
        (id, receiver)
    }

    fn close(&self, id: CallId) -> bool {
        self.lock().waiting.remove(&id).is_some()
    }

    pub(super) fn complete(&self, id: CallId, reason: DownReason) {
        let waiting = self.lock().waiting.remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(reason);
        }
    }

    pub(super) fn end(&self) {
        let waiting = {
            let mut inner = self.lock();
            inner.over = true;
            std::mem::take(&mut inner.waiting)
        };
        drop(waiting);
    }

    /// Returns how many watches are open.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Above every number that the table of calls gives out.
const WATCH_BIT: u64 = 1 << 63;

/// Watches have no order to keep with calls.
const LANE: usize = 0;
