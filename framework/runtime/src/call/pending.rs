//! The calls of one session that wait for their replies.
//!
//! A call id is the place in the table and the place's generation, so that a late reply to a call
//! that has ended can never reach the next call in the same place.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use callboard_protocol::{code::CallError, id::CallId};

use super::streams::Halves;

/// What came back for a call, still encoded.
#[derive(Debug)]
pub(crate) enum Returned {
    /// The reply's bytes.
    Body(Bytes),
    /// The reply's bytes come on a stream of their own.
    OnStream(Halves),
    /// An error of the host.
    Failed(CallError),
    /// The session ended first.
    SessionLost,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Pending {
    inner: Mutex<Inner>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Inner {
    places: Vec<Place>,
    free: Vec<u32>,
    over: bool,
}

#[derive(Debug, Default)]
struct Place {
    generation: u32,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Free,
    /// Waits; with whom to wake, once somebody looked.
    Waiting(Option<Waker>),
    /// Came back; the caller has not taken it yet.
    Back(Returned),
}

/// Why no call can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// As many calls wait as may.
    Full,
    /// The session has ended.
    Over,
}

impl Pending {
    /// Makes a table for at most `capacity` calls; it grows with use, about 60 bytes a call.
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            inner: Mutex::default(),
            capacity,
        }
    }

    /// Takes a place for a call.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub(crate) fn open(&self) -> Result<CallId, NotOpened> {
        let mut inner = self.lock();
        if inner.over {
            return Err(NotOpened::Over);
        }
        let index = match inner.free.pop() {
            Some(index) => index,
            None if inner.places.len() >= self.capacity => return Err(NotOpened::Full),
            None => {
                inner.places.push(Place::default());
                u32::try_from(inner.places.len() - 1).map_err(|_| NotOpened::Full)?
            }
        };
        let Some(place) = inner.places.get_mut(index as usize) else {
            return Err(NotOpened::Full);
        };
        place.state = State::Waiting(None);
        Ok(call_id(place.generation, index))
    }

    /// Takes what came back for the call, which frees its place. A call that has no place, or whose
    /// session has ended, gets [`Returned::SessionLost`].
    pub(crate) fn poll(&self, call: CallId, cx: &Context<'_>) -> Poll<Returned> {
        let mut inner = self.lock();
        let over = inner.over;
        let Some(place) = inner.place(call) else {
            return Poll::Ready(Returned::SessionLost);
        };
        match &mut place.state {
            State::Waiting(waker) if !over => {
                match waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => *waker = Some(cx.waker().clone()),
                }
                return Poll::Pending;
            }
            _ => {}
        }
        match inner.release(call) {
            Some(State::Back(returned)) => Poll::Ready(returned),
            _ => Poll::Ready(Returned::SessionLost),
        }
    }

    /// Gives what came back to the call; returns whether the call waited for it.
    pub(crate) fn complete(&self, call: CallId, returned: Returned) -> bool {
        let waker = {
            let mut inner = self.lock();
            match inner.place(call).map(|place| &mut place.state) {
                Some(state @ State::Waiting(_)) => {
                    match mem::replace(state, State::Back(returned)) {
                        State::Waiting(waker) => waker,
                        _ => None,
                    }
                }
                _ => return false,
            }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// Frees the place of a call, if it has one.
    pub(crate) fn close(&self, call: CallId) {
        // What came back is dropped AFTER the lock was released.
        let state = self.lock().release(call);
        drop(state);
    }

    /// Returns another call that waits, if there is one: what a planted bug gives a reply to.
    pub(crate) fn neighbour(&self, call: CallId) -> CallId {
        let inner = self.lock();
        let (_, own) = parts(call);
        let waits = |(index, place): &(usize, &Place)| {
            matches!(place.state, State::Waiting(_)) && *index != own as usize
        };
        let other = inner.places.iter().enumerate().find(waits);
        other.map_or(call, |(index, place)| {
            call_id(place.generation, u32::try_from(index).unwrap_or(u32::MAX))
        })
    }

    /// Ends all calls, and every later one at once.
    pub(crate) fn end(&self) {
        let waiting: Vec<_> = {
            let mut inner = self.lock();
            inner.over = true;
            let states = inner.places.iter_mut().map(|place| &mut place.state);
            states
                .filter_map(|state| match state {
                    State::Waiting(waker) => waker.take(),
                    State::Free | State::Back(_) => None,
                })
                .collect()
        };
        for caller in waiting {
            caller.wake();
        }
    }

    /// Returns how many calls wait, or have not taken what came back.
    pub(crate) fn len(&self) -> usize {
        let inner = self.lock();
        inner.places.len() - inner.free.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn place(&mut self, call: CallId) -> Option<&mut Place> {
        let (generation, index) = parts(call);
        let place = self.places.get_mut(index as usize)?;
        (place.generation == generation).then_some(place)
    }

    /// Frees a place and returns what was in it.
    fn release(&mut self, call: CallId) -> Option<State> {
        let place = self.place(call)?;
        let state = mem::take(&mut place.state);
        if matches!(state, State::Free) {
            return None;
        }
        place.generation = place.generation.wrapping_add(1) & GENERATION_MASK;
        self.free.push(parts(call).1);
        Some(state)
    }
}

fn call_id(generation: u32, index: u32) -> CallId {
    CallId(u64::from(generation) << 32 | u64::from(index))
}

fn parts(call: CallId) -> (u32, u32) {
    // Both halves fit by construction of the shift and the mask.
    ((call.0 >> 32) as u32, (call.0 & u64::from(u32::MAX)) as u32)
}

/// Returns the place of a call in the table of the node that made it; nothing for a watch.
pub(super) fn place_of(call: CallId) -> Option<usize> {
    let (generation, index) = parts(call);
    (generation & !GENERATION_MASK == 0).then_some(index as usize)
}

/// The top bit of a call id is left free for watches, which are numbered apart.
const GENERATION_MASK: u32 = u32::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(pending: &Pending, call: CallId) -> Poll<Returned> {
        pending.poll(call, &Context::from_waker(Waker::noop()))
    }

    fn failed() -> Returned {
        Returned::Failed(CallError::new(
            callboard_protocol::code::Code::Panicked,
            "it",
        ))
    }

    #[test]
    fn a_late_reply_does_not_reach_the_next_call_in_the_same_place() {
        let pending = Pending::new(1);
        let first = pending.open().expect("the table is empty");
        pending.close(first);
        let second = pending.open().expect("the place is free again");
        assert!(!pending.complete(first, failed()));
        assert!(poll(&pending, second).is_pending());
        assert!(pending.complete(second, failed()));
        assert!(!pending.complete(second, failed()), "a second reply");
        assert!(matches!(
            poll(&pending, second),
            Poll::Ready(Returned::Failed(_))
        ));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn a_full_table_refuses_and_an_ended_one_too() {
        let pending = Pending::new(1);
        let waits = pending.open().expect("the table is empty");
        assert_eq!(pending.open(), Err(NotOpened::Full));
        assert!(poll(&pending, waits).is_pending());
        pending.end();
        assert!(matches!(
            poll(&pending, waits),
            Poll::Ready(Returned::SessionLost)
        ));
        assert_eq!(pending.open(), Err(NotOpened::Over));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn what_came_back_before_the_end_is_still_taken() {
        let pending = Pending::new(1);
        let call = pending.open().expect("the table is empty");
        assert!(pending.complete(call, failed()));
        pending.end();
        assert!(matches!(
            poll(&pending, call),
            Poll::Ready(Returned::Failed(_))
        ));
    }
}
