//! The bounded queue of an actor: first in, first out, any number of writers.
//!
//! ```text
//! writers ── inbox ── moved whole, when the outbox is empty ── outbox ── reader
//! ```
//!
//! Writers and the reader have a lock each, so that they wait for each other once for many messages.
//!
//! It outlives the actor's incarnations, so that a restart loses no message. A message that nobody
//! waits for any more is taken out by its key, wherever it is, and frees its place at once.

use std::{
    fmt, mem,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The queue holds as many messages as it may.
    Full,
    /// What waits would take longer than the message may wait.
    Slow {
        /// How long it would wait.
        wait: Duration,
        /// How long it may.
        most: Duration,
    },
    /// The queue takes no more messages.
    Closed,
}

/// What a reader that asked for a message of a kind gets.
#[derive(Debug)]
pub(crate) enum Popped {
    /// The oldest message, which is in its place now.
    Message,
    /// The oldest message is not of the kind asked for; it stays.
    OtherKind,
    /// The queue is closed and empty.
    Closed,
}

/// Names a message of one mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageKey(u64);

impl MessageKey {
    /// Returns the key with this number.
    pub(crate) fn of(number: u64) -> Self {
        Self(number)
    }

    /// Returns its number: messages are counted from zero.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// The queue.
pub(crate) struct Mailbox<T> {
    inbox: Mutex<Inbox<T>>,
    /// Locked BEFORE the inbox by whoever locks both.
    outbox: Mutex<Messages<T>>,
    /// How many messages are in the outbox. It grows only while both are locked.
    moved: AtomicUsize,
    /// How many messages are in the inbox, for those who only look; written under its lock.
    entered: AtomicUsize,
    capacity: usize,
}

struct Inbox<T> {
    messages: Messages<T>,
    next: MessageKey,
    /// At least as many messages as are in the outbox: what it was when a writer last looked.
    moved_at_most: usize,
    closed: bool,
    reader: Option<Waker>,
}

/// Messages in order. Those that were taken out leave a hole until there are too many.
///
/// It is filled, then read, then filled again, so the places of what was read are used again once all was: a
/// message is large, and is moved once on its way in.
struct Messages<T> {
    /// Ordered by their keys from `read` to `written`; the others are free.
    places: Vec<(MessageKey, Option<T>)>,
    read: usize,
    written: usize,
    len: usize,
}

impl<T> Mailbox<T> {
    /// Makes a queue for at most `capacity` messages. Memory grows with use, and shrinks again.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            inbox: Mutex::new(Inbox {
                messages: Messages::new(),
                next: MessageKey(0),
                moved_at_most: 0,
                closed: false,
                reader: None,
            }),
            outbox: Mutex::new(Messages::new()),
            moved: AtomicUsize::new(0),
            entered: AtomicUsize::new(0),
            capacity,
        }
    }

    /// Appends a message and returns the key that removes it.
    ///
    /// # Errors
    /// The message and why it was refused.
    pub(crate) fn push(&self, message: T) -> Result<MessageKey, (T, Refusal)> {
        let (key, reader) = {
            let mut inbox = self.inbox();
            if inbox.closed {
                return Err((message, Refusal::Closed));
            }
            if !self.has_place(&mut inbox) {
                return Err((message, Refusal::Full));
            }
            let key = inbox.next;
            inbox.next = MessageKey(key.0 + 1);
            inbox.messages.push(key, message);
            self.entered.store(inbox.messages.len, Ordering::Relaxed);
            (key, inbox.reader.take())
        };
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(key)
    }

    /// Appends a message whatever waits, BEFORE anybody else can: it was in the queue of the actor's last
    /// owner. Whoever puts it here bounds how many there are.
    pub(crate) fn push_first(&self, message: T) {
        let mut inbox = self.inbox();
        let key = inbox.next;
        inbox.next = MessageKey(key.0 + 1);
        inbox.messages.push(key, message);
        self.entered.store(inbox.messages.len, Ordering::Relaxed);
    }

    /// Takes out the message with this key, unless it was popped before.
    pub(crate) fn remove(&self, key: MessageKey) -> Option<T> {
        let mut message = {
            let mut inbox = self.inbox();
            let message = inbox.messages.remove(key);
            self.entered.store(inbox.messages.len, Ordering::Relaxed);
            message
        };
        if message.is_none() {
            // Messages only move from the inbox to the outbox, so none is missed in between.
            let mut outbox = self.outbox();
            message = outbox.remove(key);
            self.moved.store(outbox.len, Ordering::Release);
        }
        // It may have been what barred the message behind it.
        let reader = message.as_ref().and_then(|_| self.inbox().reader.take());
        if let Some(reader) = reader {
            reader.wake();
        }
        message
    }

    /// Takes the oldest message into `place` if `wanted` accepts it. Messages are large: one that is
    /// returned from function to function is copied by each of them.
    pub(crate) fn poll_pop(
        &self,
        cx: &mut Context<'_>,
        wanted: impl FnOnce(&T) -> bool,
        place: &mut Option<T>,
    ) -> Poll<Popped> {
        let mut outbox = self.outbox();
        if outbox.len == 0 {
            let mut inbox = self.inbox();
            if inbox.messages.len == 0 {
                if inbox.closed {
                    return Poll::Ready(Popped::Closed);
                }
                inbox.wake_later(cx);
                inbox.messages.shrink();
                outbox.shrink();
                return Poll::Pending;
            }
            self.refill(&mut outbox, &mut inbox);
        }
        if outbox.pop(wanted, place) {
            self.moved.store(outbox.len, Ordering::Release);
            return Poll::Ready(Popped::Message);
        }
        // Under the lock of the outbox, so that nobody takes the message out before this is noted.
        self.inbox().wake_later(cx);
        Poll::Ready(Popped::OtherKind)
    }

    /// Takes the oldest message into `place`, if one waits.
    pub(crate) fn try_pop(&self, place: &mut Option<T>) -> bool {
        let mut outbox = self.outbox();
        if outbox.len == 0 {
            self.refill(&mut outbox, &mut self.inbox());
        }
        let took_one = outbox.pop(|_| true, place);
        self.moved.store(outbox.len, Ordering::Release);
        took_one
    }

    /// Refuses further messages; the reader still gets those that wait.
    pub(crate) fn close(&self) {
        let reader = {
            let mut inbox = self.inbox();
            inbox.closed = true;
            inbox.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Has the reader look again at what else it waits for.
    pub(crate) fn wake(&self) {
        let reader = self.inbox().reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Has the reader, which has no task from now on, woken by the next message, and gives all memory back; returns
    /// whether no message waits and further ones are taken. Otherwise nothing is done.
    pub(crate) fn rest(&self, reader: &Waker) -> bool {
        let mut outbox = self.outbox();
        let mut inbox = self.inbox();
        if outbox.len + inbox.messages.len > 0 || inbox.closed {
            return false;
        }
        inbox.reader = Some(reader.clone());
        inbox.messages = Messages::new();
        *outbox = Messages::new();
        true
    }

    /// Returns whether no message waits and further ones are taken.
    pub(crate) fn is_unused(&self) -> bool {
        let outbox = self.outbox();
        let inbox = self.inbox();
        outbox.len + inbox.messages.len == 0 && !inbox.closed
    }

    /// Closes the queue if no message waits; returns whether none does.
    pub(crate) fn close_if_empty(&self) -> bool {
        let outbox = self.outbox();
        let mut inbox = self.inbox();
        let is_empty = outbox.len + inbox.messages.len == 0;
        inbox.closed |= is_empty;
        is_empty
    }

    /// Closes the queue and takes out all messages that wait.
    pub(crate) fn drain(&self) -> Vec<T> {
        let (reader, messages) = {
            let mut outbox = self.outbox();
            let mut inbox = self.inbox();
            inbox.closed = true;
            self.moved.store(0, Ordering::Release);
            self.entered.store(0, Ordering::Relaxed);
            let moved = mem::replace(&mut *outbox, Messages::new());
            let waiting = mem::replace(&mut inbox.messages, Messages::new());
            let messages = moved.drain().chain(waiting.drain()).collect();
            (inbox.reader.take(), messages)
        };
        // One that is at rest holds this queue, which must not hold it for good.
        if let Some(reader) = reader {
            reader.wake();
        }
        messages
    }

    /// Returns how many messages wait.
    pub(crate) fn len(&self) -> usize {
        let inbox = self.inbox();
        inbox.messages.len + self.moved.load(Ordering::Acquire)
    }

    /// Returns about how many messages wait, without a lock: while the reader takes what has come in,
    /// that may be counted twice.
    pub(crate) fn waiting(&self) -> usize {
        self.entered.load(Ordering::Relaxed) + self.moved.load(Ordering::Relaxed)
    }

    /// Returns whether further messages are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.inbox().closed
    }

    /// Returns whether a message would be taken now.
    pub(crate) fn has_room(&self) -> bool {
        let mut inbox = self.inbox();
        !inbox.closed && self.has_place(&mut inbox)
    }

    /// Returns whether there is room by [`waiting`](Self::waiting), without a lock.
    pub(crate) fn seems_to_have_room(&self) -> bool {
        self.waiting() < self.capacity
    }

    /// Looks how much the reader has left only when it may be too much.
    fn has_place(&self, inbox: &mut Inbox<T>) -> bool {
        if inbox.messages.len + inbox.moved_at_most < self.capacity {
            return true;
        }
        inbox.moved_at_most = self.moved.load(Ordering::Acquire);
        inbox.messages.len + inbox.moved_at_most < self.capacity
    }

    /// Moves all messages to the outbox, which is empty.
    fn refill(&self, outbox: &mut Messages<T>, inbox: &mut Inbox<T>) {
        mem::swap(outbox, &mut inbox.messages);
        inbox.moved_at_most = outbox.len;
        self.moved.store(outbox.len, Ordering::Release);
        self.entered.store(inbox.messages.len, Ordering::Relaxed);
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox<T>> {
        // No code of others runs under the lock.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Messages<T>> {
        // No code of others runs under the lock but `wanted`, which only looks.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inbox<T> {
    /// Notes whom the next change wakes. There is one reader; it may move between tasks.
    fn wake_later(&mut self, cx: &Context<'_>) {
        match &mut self.reader {
            Some(reader) => reader.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl<T> Messages<T> {
    const fn new() -> Self {
        Self {
            places: Vec::new(),
            read: 0,
            written: 0,
            len: 0,
        }
    }

    fn push(&mut self, key: MessageKey, message: T) {
        if self.len == 0 {
            (self.read, self.written) = (0, 0);
        }
        match self.places.get_mut(self.written) {
            // Always so. That it is asked here spares the compiler a way on which something is dropped, and a copy.
            Some((number, place)) if place.is_none() => {
                *number = key;
                *place = Some(message);
            }
            _ => self.push_behind(key, message),
        }
        self.written += 1;
        self.len += 1;
    }

    /// Makes a place for one more message, behind all others.
    fn push_behind(&mut self, key: MessageKey, message: T) {
        if self.places.capacity() == 0 {
            // Most actors have one message at a time.
            self.places.reserve_exact(1);
        }
        self.places.push((key, Some(message)));
    }

    /// Takes the oldest message into `place` if it is `wanted`; returns whether it did.
    fn pop(&mut self, wanted: impl FnOnce(&T) -> bool, place: &mut Option<T>) -> bool {
        if self.len == 0 {
            return false;
        }
        while let Some((_, None)) = self.places.get(self.read) {
            self.read += 1;
        }
        let oldest = self.places.get_mut(self.read).map(|(_, oldest)| oldest);
        let Some(oldest) = oldest.filter(|oldest| oldest.as_ref().is_some_and(wanted)) else {
            return false;
        };
        *place = oldest.take();
        self.read += 1;
        self.len -= 1;
        true
    }

    fn remove(&mut self, key: MessageKey) -> Option<T> {
        let waiting = self.places.get_mut(self.read..self.written)?;
        let index = waiting.binary_search_by_key(&key, |place| place.0).ok()?;
        let message = waiting.get_mut(index)?.1.take()?;
        self.len -= 1;
        // Once more holes than messages were made, so that each costs a constant time.
        if self.written - self.read > 2 * self.len + HOLES {
            self.places.retain(|(_, message)| message.is_some());
            (self.read, self.written) = (0, self.places.len());
        }
        Some(message)
    }

    /// Takes out all messages.
    fn drain(self) -> impl Iterator<Item = T> {
        self.places.into_iter().filter_map(|(_, message)| message)
    }

    /// Gives half of what lies idle back. A queue that is often empty gets small in a few steps.
    fn shrink(&mut self) {
        let capacity = self.places.capacity();
        if self.len == 0 && capacity > KEPT {
            self.places.truncate(capacity / 2);
            self.places.shrink_to(capacity / 2);
            (self.read, self.written) = (0, 0);
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

/// So many holes are not worth the work.
const HOLES: usize = 16;

/// Room for so many messages is kept by an actor that is idle.
const KEPT: usize = 4;

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
            mailbox.poll_pop(&mut cx, reads, &mut None),
            Poll::Ready(Popped::OtherKind)
        ));
        assert_eq!(mailbox.remove(writer), Some('w'));
        assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
        let mut place = None;
        assert!(matches!(
            mailbox.poll_pop(&mut cx, reads, &mut place),
            Poll::Ready(Popped::Message)
        ));
        assert_eq!(place, Some('r'));
    }

    #[test]
    fn messages_keep_their_order_and_their_room_while_some_are_taken_out() {
        let mailbox = Mailbox::new(100);
        let mut cx = Context::from_waker(Waker::noop());
        let pop = |cx: &mut Context<'_>| {
            let mut place = None;
            let _ = mailbox.poll_pop(cx, |_| true, &mut place);
            place
        };
        let push = |message: u32| mailbox.push(message).expect("there is room");
        let early: Vec<_> = (0..60).map(push).collect();
        assert_eq!(pop(&mut cx), Some(0));
        let late: Vec<_> = (60..101).map(push).collect();
        assert_eq!(mailbox.push(101), Err((101, Refusal::Full)));
        // Of those that moved to the reader, and of those that did not.
        for message in (1..60).filter(|message| message % 3 > 0) {
            assert_eq!(mailbox.remove(early[message]), Some(message as u32));
            assert_eq!(mailbox.remove(early[message]), None);
        }
        for message in late.iter().skip(1) {
            assert!(mailbox.remove(*message).is_some());
        }
        assert_eq!(mailbox.remove(early[0]), None, "it was popped");
        assert_eq!(mailbox.len(), 19 + 1);
        assert!(mailbox.has_room());
        mailbox.push(7).expect("there is room");
        let rest: Vec<_> = std::iter::from_fn(|| pop(&mut cx)).collect();
        let expected: Vec<_> = (3..58).step_by(3).chain([60, 7]).collect();
        assert_eq!(rest, expected);
        assert_eq!(mailbox.len(), 0);
    }

    #[test]
    fn what_is_taken_out_leaves_no_more_holes_than_messages() {
        let mut messages = Messages::new();
        messages.push(MessageKey(0), 0);
        for key in 1..1000 {
            messages.push(MessageKey(2 * key), key);
            messages.push(MessageKey(2 * key + 1), key);
            assert_eq!(messages.remove(MessageKey(2 * key)), Some(key));
            assert_eq!(messages.remove(MessageKey(2 * key + 1)), Some(key));
            assert!(messages.places.len() <= 2 + HOLES);
        }
        let mut place = None;
        assert!(messages.pop(|_| true, &mut place));
        assert_eq!(place, Some(0));
        assert!(!messages.pop(|_| true, &mut place));
    }

    #[test]
    fn a_mailbox_that_is_idle_gives_its_room_back() {
        let mailbox = Mailbox::new(1000);
        let mut cx = Context::from_waker(Waker::noop());
        for round in 0..10 {
            for message in 0..if round == 0 { 1000 } else { 1 } {
                mailbox.push(message).expect("there is room");
            }
            while mailbox.poll_pop(&mut cx, |_| true, &mut None).is_ready() {}
        }
        let room = mailbox.inbox().messages.places.capacity();
        assert!(room + mailbox.outbox().places.capacity() <= 2 * KEPT);
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
