//! The clients that follow this node's view of the slots.
//!
//! A client asks again and again, and is told what has changed since the version that it names, then
//! whatever changes. It is told only while this node holds a lease: whoever holds one is linked with
//! the leader, so what it sees is seldom older than a message takes. For each client one delta is on its way at a
//! time, and one that reads slowly is told less often, of more. Nothing that a client says
//! comes further than here. Depends on `inbox`, `ownership` and `peers`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use callboard_protocol::{
    cluster::{Message, encode_message},
    slots::Version,
    time::Time,
};
use tokio::sync::{mpsc, watch};

use super::{
    inbox::Asked,
    ownership::Ownership,
    peers::{LONG_BYTES_MAX, say},
};
use crate::{net::Link, task::Tasks};

/// What all of them share.
pub(super) struct Followers {
    ownership: Arc<Ownership>,
    clock: Arc<dyn Fn() -> Time + Send + Sync>,
    said: Mutex<Said>,
}

/// What was said last, for the next one who asks the same.
#[derive(Default)]
struct Said {
    /// The version of the view that it was said of.
    of: Version,
    /// By the version that it is said to, with the version that it leads to.
    deltas: BTreeMap<Version, (Arc<Vec<u8>>, Version)>,
}

impl Followers {
    pub(super) fn new(
        ownership: Arc<Ownership>,
        clock: Arc<dyn Fn() -> Time + Send + Sync>,
    ) -> Self {
        Self {
            ownership,
            clock,
            said: Mutex::default(),
        }
    }

    /// Tells those who ask, until the node stops.
    pub(super) async fn run(self, tasks: Tasks, mut asks: mpsc::Receiver<Asked>) {
        let shared = Arc::new(self);
        let mut followers: BTreeMap<u64, watch::Sender<Version>> = BTreeMap::new();
        let token = tasks.token().clone();
        while let Some(Some(Asked { link, version })) = token.run_until_cancelled(asks.recv()).await
        {
            followers.retain(|_, follower| !follower.is_closed());
            match followers.get(&link.session()) {
                Some(follower) => drop(follower.send_replace(version)),
                None => {
                    let (asked, asks) = watch::channel(version);
                    followers.insert(link.session(), asked);
                    let follower = Arc::clone(&shared).tell(link, asks, tasks.clone());
                    tasks.spawn("follower", follower);
                }
            }
        }
    }

    /// Tells one client for as long as its link is up.
    async fn tell(
        self: Arc<Self>,
        link: Arc<Link>,
        mut asks: watch::Receiver<Version>,
        tasks: Tasks,
    ) {
        let mut changes = self.ownership.changes();
        let mut at = Some(*asks.borrow_and_update());
        loop {
            // BEFORE the look: a change in between wakes it.
            changes.mark_unchanged();
            at = match at {
                Some(from) => self.tell_since(&link, from).await,
                None => None,
            };
            if at.is_some_and(|it| it < self.ownership.version()) {
                continue;
            }
            // Changes that come close together are told together.
            let rest = tokio::time::sleep(PAUSE);
            if tasks.token().run_until_cancelled(rest).await.is_none() {
                return;
            }
            tokio::select! {
                biased;
                () = tasks.token().cancelled() => return,
                _ = link.closed() => return,
                asked = asks.changed() => match asked {
                    Ok(()) => at = Some(*asks.borrow_and_update()),
                    Err(_) => return,
                },
                changed = changes.changed(), if at.is_some() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    /// Tells what has changed since a version; returns what the client knows then, or nothing if it
    /// has to ask again.
    async fn tell_since(&self, link: &Arc<Link>, from: Version) -> Option<Version> {
        let delta = match self.ownership.holds_lease((self.clock)()) {
            true => self.since(from),
            false => None,
        };
        let Some((bytes, to)) = delta else {
            let places = self.ownership.places();
            let message = Message::NotFollowed { places };
            let bytes = encode_message(&message, LONG_BYTES_MAX).ok()?;
            link.tell(&bytes);
            return None;
        };
        say(link, &bytes).await.then_some(to)
    }

    /// Returns what has changed since a version, encoded; nothing while nothing is known, or if the
    /// client knows more.
    fn since(&self, from: Version) -> Option<(Arc<Vec<u8>>, Version)> {
        let version = self.ownership.version();
        {
            let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((bytes, to)) = said.deltas.get(&from).filter(|_| said.of == version) {
                return Some((Arc::clone(bytes), *to));
            }
        }
        let delta = (from <= version).then(|| self.ownership.since(from, ENTRIES_MAX))??;
        let to = delta.to();
        let message = Message::Delta(delta.for_callers().encode());
        let bytes = Arc::new(encode_message(&message, LONG_BYTES_MAX).ok()?);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.of != version || said.deltas.len() >= SAID_MAX {
            said.deltas.clear();
            said.of = version;
        }
        said.deltas.insert(from, (Arc::clone(&bytes), to));
        Some((bytes, to))
    }
}

/// How many slots a delta has: some 40 kB, so that it is said at once.
const ENTRIES_MAX: usize = 1024;

/// How many deltas are kept for others who ask the same: the whole view of a group has four.
const SAID_MAX: usize = 8;

/// The shortest time between two deltas to a client that knows all there is.
const PAUSE: Duration = Duration::from_millis(20);
