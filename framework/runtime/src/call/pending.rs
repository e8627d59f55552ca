//! The calls of one session that wait for their replies.
//!
//! A call id is the place in the table and the place's generation, so that a late reply to a call
//! that has ended can never reach the next call in the same place.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use callboard_protocol::{code::CallError, id::CallId};
use tokio::sync::oneshot;

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
    waiting: Option<oneshot::Sender<Returned>>,
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
    /// Makes a table for at most `capacity` calls; it grows with use, about 40 bytes a call.
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
    pub(crate) fn open(&self) -> Result<(CallId, oneshot::Receiver<Returned>), NotOpened> {
        let (sender, receiver) = oneshot::channel();
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
        place.waiting = Some(sender);
        Ok((call_id(place.generation, index), receiver))
    }

    /// Gives what came back to the call and frees its place; returns whether the call was there.
    pub(crate) fn complete(&self, call: CallId, returned: Returned) -> bool {
        match self.close(call) {
            // The call may have been dropped in this moment; then nobody wants the reply.
            Some(waiting) => waiting.send(returned).is_ok(),
            None => false,
        }
    }

    /// Frees the place of a call; returns its sender if it still waited.
    pub(crate) fn close(&self, call: CallId) -> Option<oneshot::Sender<Returned>> {
        let (generation, index) = parts(call);
        let mut inner = self.lock();
        let place = inner.places.get_mut(index as usize)?;
        if place.generation != generation {
            return None;
        }
        let waiting = place.waiting.take()?;
        place.generation = generation.wrapping_add(1) & GENERATION_MASK;
        inner.free.push(index);
        Some(waiting)
    }

    /// Returns another call that waits, if there is one: what a planted bug gives a reply to.
    pub(crate) fn neighbour(&self, call: CallId) -> CallId {
        let inner = self.lock();
        let (_, own) = parts(call);
        let waits =
            |(index, place): &(usize, &Place)| place.waiting.is_some() && *index != own as usize;
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
            inner.free.clear();
            inner
                .places
                .drain(..)
                .filter_map(|place| place.waiting)
                .collect()
        };
        for caller in waiting {
            let _ = caller.send(Returned::SessionLost);
        }
    }

    /// Returns how many calls wait.
    pub(crate) fn len(&self) -> usize {
        let inner = self.lock();
        inner.places.len() - inner.free.len()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn call_id(generation: u32, index: u32) -> CallId {
    CallId(u64::from(generation) << 32 | u64::from(index))
}

fn parts(call: CallId) -> (u32, u32) {
    // Both halves fit by construction of the shift and the mask.
    ((call.0 >> 32) as u32, (call.0 & u64::from(u32::MAX)) as u32)
}

/// The top bit of a call id is left free for watches, which are numbered apart.
const GENERATION_MASK: u32 = u32::MAX >> 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_reply_does_not_reach_the_next_call_in_the_same_place() {
        let pending = Pending::new(1);
        let (first, receiver) = pending.open().expect("the table is empty");
        drop(receiver);
        assert!(pending.close(first).is_some());
        let (second, mut receiver) = pending.open().expect("the place is free again");
        assert!(!pending.complete(first, Returned::SessionLost));
        assert!(receiver.try_recv().is_err());
        assert!(pending.complete(second, Returned::SessionLost));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn a_full_table_refuses_and_an_ended_one_too() {
        let pending = Pending::new(1);
        let (_, mut receiver) = pending.open().expect("the table is empty");
        assert_eq!(pending.open().map(drop), Err(NotOpened::Full));
        pending.end();
        assert!(matches!(receiver.try_recv(), Ok(Returned::SessionLost)));
        assert_eq!(pending.open().map(drop), Err(NotOpened::Over));
    }
}
