//! The bounded queue of an actor: first in, first out, one reader, any number of writers.
//!
//! It outlives the actor's incarnations, so that a restart loses no message. A message that nobody
//! waits for any more is taken out by its key and frees its place at once.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use callboard_protocol::schedule::{Key, LinkedSlab, ListId};

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The queue holds as many messages as it may.
    Full,
    /// The queue takes no more messages.
    Closed,
}

/// What a reader that asked for a message of a kind gets.
#[derive(Debug)]
pub(crate) enum Popped<T> {
    /// The oldest message.
    Message(T),
    /// The oldest message is not of the kind asked for; it stays.
    OtherKind,
    /// The queue is closed and empty.
    Closed,
}

/// The queue.
pub(crate) struct Mailbox<T> {
    inner: Mutex<Inner<T>>,
    capacity: usize,
}

struct Inner<T> {
    slab: LinkedSlab<T>,
    list: ListId,
    closed: bool,
    reader: Option<Waker>,
}

impl<T> Mailbox<T> {
    /// Makes a queue for at most `capacity` messages. Memory grows with use.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut slab = LinkedSlab::new();
        let list = slab.new_list();
        Self {
            inner: Mutex::new(Inner {
                slab,
                list,
                closed: false,
                reader: None,
            }),
            capacity,
        }
    }

    /// Appends a message and returns the key that removes it.
    ///
    /// # Errors
    /// The message and why it was refused.
    pub(crate) fn push(&self, message: T) -> Result<Key, (T, Refusal)> {
        let (key, reader) = {
            let mut inner = self.lock();
            if inner.closed {
                return Err((message, Refusal::Closed));
            }
            if inner.slab.len() >= self.capacity {
                return Err((message, Refusal::Full));
            }
            let list = inner.list;
            (inner.slab.push_back(list, message), inner.reader.take())
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(key)
    }

    /// Takes out the message with this key, unless it was popped before.
    pub(crate) fn remove(&self, key: Key) -> Option<T> {
        let (message, reader) = {
            let mut inner = self.lock();
            let message = inner.slab.remove(key);
            // It may have been what barred the message behind it.
            let reader = message.as_ref().and_then(|_| inner.reader.take());
            (message, reader)
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        message
    }

    /// Takes the oldest message if `wanted` accepts it.
    pub(crate) fn poll_pop(
        &self,
        cx: &mut Context<'_>,
        wanted: impl FnOnce(&T) -> bool,
    ) -> Poll<Popped<T>> {
        let mut inner = self.lock();
        let list = inner.list;
        let oldest = inner.slab.front(list);
        match oldest {
            Some(oldest) if wanted(oldest) => match inner.slab.pop_front(list) {
                Some(message) => Poll::Ready(Popped::Message(message)),
                None => Poll::Pending,
            },
            Some(_) => {
                inner.wake_later(cx);
                Poll::Ready(Popped::OtherKind)
            }
            None if inner.closed => Poll::Ready(Popped::Closed),
            None => {
                inner.wake_later(cx);
                Poll::Pending
            }
        }
    }

    /// Takes the oldest message, if one waits.
    pub(crate) fn try_pop(&self) -> Option<T> {
        let mut inner = self.lock();
        let list = inner.list;
        inner.slab.pop_front(list)
    }

    /// Refuses further messages; the reader still gets those that wait.
    pub(crate) fn close(&self) {
        let reader = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Closes the queue if no message waits; returns whether none does.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut inner = self.lock();
        let is_empty = inner.slab.is_empty();
        inner.closed |= is_empty;
        is_empty
    }

    /// Closes the queue and takes out all messages that wait.
    pub(crate) fn drain(&self) -> Vec<T> {
        let mut inner = self.lock();
        inner.closed = true;
        let list = inner.list;
        std::iter::from_fn(|| inner.slab.pop_front(list)).collect()
    }

    /// Returns how many messages wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().slab.len()
    }

    /// Returns whether further messages are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Returns whether a message would be taken now.
    pub(crate) fn has_room(&self) -> bool {
        let inner = self.lock();
        !inner.closed && inner.slab.len() < self.capacity
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // No code of others runs under the lock but `wanted`, which only looks.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    /// Notes whom the next change wakes. There is one reader; it may move between tasks.
    fn wake_later(&mut self, cx: &Context<'_>) {
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("len", &self.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use futures_util::task::{ArcWake, waker};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl ArcWake for Wakes {
        fn wake_by_ref(wakes: &Arc<Self>) {
            wakes.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn taking_out_the_message_that_bars_the_next_wakes_the_reader() {
        let (mailbox, wakes) = (Mailbox::new(4), Arc::new(Wakes::default()));
        let waker = waker(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let writer = mailbox.push('w').expect("there is room");
        mailbox.push('r').expect("there is room");
        let reads = |oldest: &char| *oldest == 'r';
        assert!(matches!(
            mailbox.poll_pop(&mut cx, reads),
            Poll::Ready(Popped::OtherKind)
        ));
        assert_eq!(mailbox.remove(writer), Some('w'));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        assert!(matches!(
            mailbox.poll_pop(&mut cx, reads),
            Poll::Ready(Popped::Message('r'))
        ));
    }

    #[test]
    fn a_full_or_closed_mailbox_gives_the_message_back() {
        let mailbox = Mailbox::new(1);
        let first = mailbox.push(1).expect("there is room");
        assert_eq!(mailbox.push(2), Err((2, Refusal::Full)));
        assert!(!mailbox.close_if_empty());
        assert_eq!(mailbox.remove(first), Some(1));
        assert!(mailbox.push(3).is_ok());
        assert_eq!(mailbox.drain(), vec![3]);
        assert_eq!(mailbox.push(4), Err((4, Refusal::Closed)));
        assert!(mailbox.close_if_empty());
    }
}
