//! The calls and watches of a peer that wait or run here, by their number.
//!
//! The low half of a call's number is its place in the peer's own table of calls in flight, which
//! reuses places. So it is a place here too, found without a search. Watches are numbered apart.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use callboard_protocol::id::CallId;

use super::pending::place_of;

/// The table; `T` is a handle to what waits or runs.
#[derive(Debug)]
pub(super) struct ServedTable<T> {
    inner: Mutex<Inner<T>>,
    most: usize,
}

#[derive(Debug)]
struct Inner<T> {
    places: Vec<Option<(CallId, T)>>,
    /// Watches, and calls that came while an earlier one was in their place: the peer gives a place
    /// to its next call when it drops one, and the word of that may come later.
    others: BTreeMap<CallId, T>,
    len: usize,
}

/// Why a call or a watch has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotEntered {
    /// There are as many as may be.
    Full,
    /// One with its number waits or runs: two with one number could not be told apart, and the peer
    /// would count for one where it has many.
    Twice,
}

impl<T> ServedTable<T> {
    /// Makes a table for at most `most` entries; it grows with use.
    pub(super) fn new(most: usize) -> Self {
        Self {
            inner: Mutex::default(),
            most,
        }
    }

    /// Enters a call or a watch.
    ///
    /// # Errors
    /// [`NotEntered`]; the entry that has the number keeps it.
    pub(super) fn enter(&self, call: CallId, served: T) -> Result<(), NotEntered> {
        let mut inner = self.lock();
        if inner.has(call) {
            return Err(NotEntered::Twice);
        }
        if inner.len >= self.most {
            return Err(NotEntered::Full);
        }
        let place = place_of(call).filter(|place| *place < self.most);
        match place.and_then(|place| inner.place(place)) {
            Some(entry) if entry.is_none() => *entry = Some((call, served)),
            _ => {
                inner.others.insert(call, served);
            }
        }
        inner.len += 1;
        Ok(())
    }

    /// Takes out a call or a watch that was answered or cancelled.
    pub(super) fn leave(&self, call: CallId) -> Option<T> {
        let mut inner = self.lock();
        let entry = place_of(call).and_then(|place| inner.places.get_mut(place));
        let left = entry.and_then(|entry| entry.take_if(|(served, _)| *served == call));
        let left = match left {
            Some((_, left)) => Some(left),
            None => inner.others.remove(&call),
        };
        inner.len -= usize::from(left.is_some());
        left
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len
    }

    /// Takes out all, always in the same order, so that the same run wakes them alike.
    pub(super) fn take(&self) -> Vec<T> {
        let inner = std::mem::take(&mut *self.lock());
        let calls = inner.places.into_iter().flatten().map(|(_, served)| served);
        calls.chain(inner.others.into_values()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Inner<T> {
    fn has(&self, call: CallId) -> bool {
        let entry = place_of(call).and_then(|place| self.places.get(place));
        let in_place = matches!(entry, Some(Some((served, _))) if *served == call);
        in_place || (!self.others.is_empty() && self.others.contains_key(&call))
    }

    fn place(&mut self, place: usize) -> Option<&mut Option<(CallId, T)>> {
        if place >= self.places.len() {
            self.places.resize_with(place + 1, || None);
        }
        self.places.get_mut(place)
    }
}

impl<T> Default for Inner<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            others: BTreeMap::new(),
            len: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(generation: u64, place: u64) -> CallId {
        CallId(generation << 32 | place)
    }

    #[test]
    fn a_call_is_kept_while_the_next_one_in_its_place_comes_and_goes() {
        let table = ServedTable::new(8);
        assert_eq!(table.enter(call(1, 5), 'a'), Ok(()));
        assert_eq!(
            table.enter(call(2, 5), 'b'),
            Ok(()),
            "before the word that `a` was dropped"
        );
        assert_eq!(table.len(), 2);
        assert_eq!(table.leave(call(1, 5)), Some('a'));
        assert_eq!(table.leave(call(1, 5)), None);
        assert_eq!(table.leave(call(2, 5)), Some('b'));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_table_is_bounded_whatever_the_numbers_are() {
        let table = ServedTable::new(2);
        assert_eq!(table.enter(call(1, u64::from(u32::MAX)), 'a'), Ok(()));
        assert_eq!(table.enter(CallId(u64::MAX), 'w'), Ok(()), "a watch");
        assert_eq!(table.enter(call(1, 0), 'b'), Err(NotEntered::Full));
        assert_eq!(table.leave(CallId(u64::MAX)), Some('w'));
        assert_eq!(table.enter(call(1, 0), 'b'), Ok(()));
        assert_eq!(table.take(), ['b', 'a']);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_number_that_is_in_use_is_refused_and_its_entry_stays() {
        let table = ServedTable::new(8);
        for number in [call(1, 0), call(1, 99), CallId(u64::MAX)] {
            assert_eq!(table.enter(number, 'a'), Ok(()));
            assert_eq!(table.enter(number, 'b'), Err(NotEntered::Twice));
            assert_eq!(table.len(), 1);
            assert_eq!(table.leave(number), Some('a'));
            assert_eq!(table.leave(number), None);
        }
        let full = ServedTable::new(1);
        assert_eq!(full.enter(call(1, 0), 'a'), Ok(()));
        assert_eq!(full.enter(call(1, 0), 'b'), Err(NotEntered::Twice));
    }
}
