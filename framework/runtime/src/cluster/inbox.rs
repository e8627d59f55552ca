//! What comes from the links, until the driver takes it.
//!
//! Called on the node's I/O tasks, so everything returns at once. Messages wait in a bounded queue:
//! one that finds no room is dropped, and whoever sent it sends it again. Which links
//! there are is never lost. What clients ask has a queue of its own, and nothing else that they say
//! is taken. Depends on `net`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use callboard_protocol::{
    cluster::{Message, PART_BYTES, decode_message},
    slots::Version,
    wire::hello::PeerKind,
};
use tokio::sync::{Notify, mpsc};

use crate::net::Link;

/// Takes in what nodes say about the cluster.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: mpsc::Sender<Heard>,
    asks: mpsc::Sender<Asked>,
    roster: Mutex<BTreeMap<u64, Arc<Link>>>,
    changed: Notify,
}

/// A message, and the link that it came on.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) link: Arc<Link>,
    pub(super) message: Vec<u8>,
}

/// A client asks for what has changed since a version.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) link: Arc<Link>,
    pub(super) version: Version,
}

impl Inbox {
    /// Makes an inbox, and the end that the driver reads.
    pub(crate) fn new() -> (Arc<Self>, Queue) {
        let (queue, waiting) = mpsc::channel(MESSAGES_MAX);
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        let inbox = Arc::new(Self {
            queue,
            asks,
            roster: Mutex::default(),
            changed: Notify::new(),
        });
        let queue = Queue {
            waiting,
            asked: Some(asked),
            inbox: Arc::clone(&inbox),
        };
        (inbox, queue)
    }

    /// A link has come up.
    pub(crate) fn link_up(&self, link: &Arc<Link>) {
        if link.peer().kind == PeerKind::Node {
            self.roster().insert(link.session(), Arc::clone(link));
            self.changed.notify_one();
        }
    }

    /// A link is down.
    pub(crate) fn link_down(&self, link: &Arc<Link>) {
        if self.roster().remove(&link.session()).is_some() {
            self.changed.notify_one();
        }
    }

    /// A message has come.
    pub(crate) fn heard(&self, link: &Arc<Link>, message: Vec<u8>) {
        let (kind, link) = (link.peer().kind, Arc::clone(link));
        let fits = message.len() <= MESSAGE_BYTES_MAX;
        let taken = match kind {
            PeerKind::Node => fits && self.queue.try_send(Heard { link, message }).is_ok(),
            _ => self.asked(link, &message),
        };
        if !taken {
            tracing::debug!("a message of the cluster was dropped");
        }
    }

    /// Takes what a client says, if that is a question.
    fn asked(&self, link: Arc<Link>, message: &[u8]) -> bool {
        let is_short = message.len() <= ASK_BYTES_MAX;
        match is_short.then(|| decode_message(message)) {
            Some(Ok(Message::Follow { version })) => {
                self.asks.try_send(Asked { link, version }).is_ok()
            }
            _ => false,
        }
    }

    fn roster(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Link>>> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver's end of an [`Inbox`].
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: mpsc::Receiver<Heard>,
    asked: Option<mpsc::Receiver<Asked>>,
    inbox: Arc<Inbox>,
}

impl Queue {
    /// Waits for a message. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Heard> {
        self.waiting.recv().await
    }

    /// Takes the end where clients' questions come. It is there once.
    pub(super) fn take_asks(&mut self) -> Option<mpsc::Receiver<Asked>> {
        self.asked.take()
    }

    /// Waits until links have come or gone. Cancel safe: a notice is kept.
    pub(super) async fn links_changed(inbox: &Inbox) {
        inbox.changed.notified().await;
    }

    /// Returns the links that are up, in the order in which they came.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        self.inbox.roster().values().cloned().collect()
    }

    pub(super) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }
}

/// How many messages wait for the driver.
const MESSAGES_MAX: usize = 512;

/// How many questions of clients wait. Clients ask again.
const ASKS_MAX: usize = 256;

/// A version of the format, a kind, and a version of the state.
const ASK_BYTES_MAX: usize = 16;

/// A longer one comes in parts; see [`PART_BYTES`].
const MESSAGE_BYTES_MAX: usize = PART_BYTES + 1024;
