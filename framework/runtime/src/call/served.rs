//! The calls and watches of a peer that wait or run here, by their number.
//!
//! The low half of a call's number is its place in the peer's own table of calls in flight, which
//! reuses places. So it is a place here too: found without a search, and bounded. Watches are
//! numbered apart.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use callboard_protocol::id::CallId;

use super::{arrival::Served, pending::place_of};

/// The table.
#[derive(Debug)]
pub(super) struct ServedTable {
    inner: Mutex<Inner>,
    most: usize,
}

#[derive(Debug, Default)]
struct Inner {
    calls: Vec<Option<Arc<Served>>>,
    watches: BTreeMap<CallId, Arc<Served>>,
    len: usize,
}

impl ServedTable {
    /// Makes a table for at most `most` entries; it grows with use.
    pub(super) fn new(most: usize) -> Self {
        Self {
            inner: Mutex::default(),
            most,
        }
    }

    /// Enters a call or a watch; returns false when there are too many. One that the peer numbered
    /// like another takes its place.
    pub(super) fn enter(&self, served: &Arc<Served>) -> bool {
        let mut inner = self.lock();
        if inner.len >= self.most {
            return false;
        }
        let before = match place_of(served.call()) {
            None => inner.watches.insert(served.call(), served.clone()),
            // The peer has more calls in flight than may run here.
            Some(place) if place >= self.most => return false,
            Some(place) => {
                if place >= inner.calls.len() {
                    inner.calls.resize_with(place + 1, || None);
                }
                match inner.calls.get_mut(place) {
                    Some(entry) => entry.replace(served.clone()),
                    None => return false,
                }
            }
        };
        inner.len += usize::from(before.is_none());
        // Dropped AFTER the lock was released.
        drop(inner);
        drop(before);
        true
    }

    /// Takes out a call or a watch that was answered or cancelled.
    pub(super) fn leave(&self, call: CallId) -> Option<Arc<Served>> {
        let mut inner = self.lock();
        let left = match place_of(call) {
            None => inner.watches.remove(&call),
            Some(place) => {
                let entry = inner.calls.get_mut(place)?;
                // Another call may be in the place by now.
                entry.take_if(|served| served.call() == call)
            }
        };
        inner.len -= usize::from(left.is_some());
        left
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len
    }

    /// Takes out all, in the order of their numbers, so that the same run wakes them in the same
    /// order.
    pub(super) fn take(&self) -> Vec<Arc<Served>> {
        let inner = std::mem::take(&mut *self.lock());
        let calls = inner.calls.into_iter().flatten();
        calls.chain(inner.watches.into_values()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
