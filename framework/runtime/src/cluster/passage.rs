//! What the old and the new owner of a slot say to each other, on its way between the layer of actors and
//! the driver, which has the links.
//!
//! Both queues are bounded. What finds no room is dropped, and whoever said it says it again. Depends on
//! nothing here.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use callboard_protocol::{cluster::Message, id::NodeId};
use tokio::sync::Notify;

/// The two queues.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    outgoing: Queue,
    incoming: Queue,
}

#[derive(Debug, Default)]
struct Queue {
    messages: Mutex<VecDeque<(NodeId, Message)>>,
    pushed: Notify,
}

impl Passage {
    /// Says something to the other owner of a slot.
    pub(crate) fn say(&self, to: NodeId, message: Message) {
        self.outgoing.push(to, message);
    }

    /// Waits until something was said here. Cancel safe: a notice is kept.
    pub(super) async fn said(&self) {
        self.outgoing.pushed.notified().await;
    }

    /// Takes what was said here, and to whom.
    pub(super) fn take_said(&self) -> VecDeque<(NodeId, Message)> {
        self.outgoing.take()
    }

    /// The other owner of a slot has said something.
    pub(super) fn hear(&self, from: NodeId, message: Message) {
        self.incoming.push(from, message);
    }

    /// Waits until something was heard. Cancel safe: a notice is kept.
    pub(crate) async fn heard(&self) {
        self.incoming.pushed.notified().await;
    }

    /// Takes what was heard, and from whom.
    pub(crate) fn take_heard(&self) -> VecDeque<(NodeId, Message)> {
        self.incoming.take()
    }
}

impl Queue {
    fn push(&self, node: NodeId, message: Message) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() < MESSAGES_MAX {
            messages.push_back((node, message));
        }
        drop(messages);
        self.pushed.notify_one();
    }

    fn take(&self) -> VecDeque<(NodeId, Message)> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *messages)
    }
}

/// How many messages wait: what is on its way of a handful of slots.
const MESSAGES_MAX: usize = 1024;
