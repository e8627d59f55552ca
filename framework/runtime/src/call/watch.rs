//! Watching an actor: one `Down` when it will not run again, whether it lived here or on a peer.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use callboard_protocol::{
    code::Code,
    id::{ActorAddr, CallId},
    wire::header::{DownReason, Watch as WatchFrame},
};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    actor::Ended,
    net::{AppendError, LinkDown},
};

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
/// It follows the actor's node from one link to the next. The node is lost once it has said that it
/// stops, has not been heard of for `peer_timeout`, or has no link for that long, 3 s by default.
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

/// Watches over the links with the actor's node, one after another: that a link ends says nothing of
/// the process behind it.
async fn remote(hub: &Arc<Hub>, addr: ActorAddr) -> DownReason {
    let mut was_watched = false;
    while let Some(session) = linked(hub, &addr).await {
        let incarnation = session.link.peer().incarnation;
        if was_watched && incarnation != addr.incarnation {
            return DownReason::NodeLost;
        }
        match over(&session, &addr).await {
            Ok(reason) => return reason,
            Err(Unlinked::ForGood) => return DownReason::NodeLost,
            Err(Unlinked::ForNow) => was_watched = true,
        }
    }
    DownReason::NodeLost
}

/// Returns the session with the actor's node, once there is one within the time after which a silent
/// node is lost.
async fn linked(hub: &Arc<Hub>, addr: &ActorAddr) -> Option<Arc<Session>> {
    let until = Instant::now() + hub.peer_timeout();
    let mut changes = hub.net()?.link_changes();
    loop {
        // BEFORE the look: a change in between wakes it.
        changes.mark_unchanged();
        // One that has ended is there until all that came over it was taken in.
        let session = hub.session(addr.node);
        if let Some(session) = session.filter(|session| session.link.is_up()) {
            return Some(session);
        }
        timeout_at(until, changes.changed()).await.ok()?.ok()?;
    }
}

/// Watches over one session.
async fn over(session: &Arc<Session>, addr: &ActorAddr) -> Result<DownReason, Unlinked> {
    let (id, down) = session.watches.open();
    let _open = Open { session, id };
    let frame = WatchFrame {
        id,
        incarnation: addr.incarnation,
        actor: addr.actor,
    };
    let append = || {
        session.link.append(LANE, |buffer| {
            frame.encode(buffer);
            Ok::<_, std::convert::Infallible>(())
        })
    };
    while matches!(append(), Err(AppendError::Full)) {
        session.link.writable(LANE).await;
    }
    // A link that takes no frame is down: the session is told, and ends what is open.
    down.await.map_err(|_| session.watches.unlinked())
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
    over: Option<Unlinked>,
}

/// What the end of a session says of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unlinked {
    /// Its process may live, and another link may come up with it.
    ForNow,
    /// It has said that it ends, or has been silent for as long as a peer may be, or one side is
    /// not to be linked with the other.
    ForGood,
}

impl From<&LinkDown> for Unlinked {
    fn from(why: &LinkDown) -> Self {
        match why.code {
            Code::NodeLeaving | Code::NodeStopping | Code::PeerTimeout | Code::PeerDenied => {
                Self::ForGood
            }
            _ => Self::ForNow,
        }
    }
}

impl Watches {
    fn open(&self) -> (CallId, oneshot::Receiver<DownReason>) {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
        inner.next += 1;
        // Watches and calls are cancelled by the same frame, so their numbers must differ.
        let id = CallId(inner.next | WATCH_BIT);
        if inner.over.is_none() {
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

    pub(super) fn end(&self, unlinked: Unlinked) {
        let waiting = {
            let mut inner = self.lock();
            inner.over.get_or_insert(unlinked);
            std::mem::take(&mut inner.waiting)
        };
        drop(waiting);
    }

    /// Returns what the end of the session says of the peer.
    fn unlinked(&self) -> Unlinked {
        self.lock().over.unwrap_or(Unlinked::ForNow)
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
