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

/// What is in the table.
pub(super) trait Entry: Clone {
    /// Returns whether the next call may be made of it once it is over. What holds on to anything may
    /// not: that has to be let go of at its end, and not at the next one's beginning.
    fn may_stay(&self) -> bool;
}

/// The table; `T` is a handle to what waits or runs. What was in a place is left there for the next
/// call to be made of, which costs less than making it anew.
#[derive(Debug)]
pub(super) struct ServedTable<T> {
    inner: Mutex<Inner<T>>,
    most: usize,
}

#[derive(Debug)]
struct Inner<T> {
    places: Vec<Place<T>>,
    /// Watches, and calls that came while an earlier one was in their place: the peer gives a place
    /// to its next call when it drops one, and the word of that may come later.
    others: BTreeMap<CallId, T>,
    len: usize,
    /// All were taken out; nothing is left for a next call.
    over: bool,
}

#[derive(Debug)]
enum Place<T> {
    Free(Option<T>),
    Taken(CallId, T),
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

impl<T: Entry> ServedTable<T> {
    /// Makes a table for at most `most` entries; it grows with use.
    pub(super) fn new(most: usize) -> Self {
        Self {
            inner: Mutex::default(),
            most,
        }
    }

    /// Enters a call or a watch, which `make` makes, under the lock of the table; it is given what an
    /// earlier one left, if there is something.
    ///
    /// # Errors
    /// [`NotEntered`]; the entry that has the number keeps it, and nothing is made.
    pub(super) fn enter(
        &self,
        call: CallId,
        make: impl FnOnce(Option<T>) -> T,
    ) -> Result<T, NotEntered> {
        let mut inner = self.lock();
        if inner.has(call) {
            return Err(NotEntered::Twice);
        }
        if inner.len >= self.most {
            return Err(NotEntered::Full);
        }
        inner.len += 1;
        let place = place_of(call).filter(|place| *place < self.most);
        if let Some(place) = place.and_then(|place| inner.place(place))
            && let Place::Free(left) = place
        {
            let served = make(left.take());
            *place = Place::Taken(call, served.clone());
            return Ok(served);
        }
        let served = make(None);
        inner.others.insert(call, served.clone());
        Ok(served)
    }

    /// Takes out a call or a watch that was answered; returns whether it was there.
    pub(super) fn leave(&self, call: CallId) -> bool {
        // What is not kept is dropped AFTER the lock was released.
        let (was_there, _left) = self.lock().leave(call, |_| {});
        was_there
    }

    /// Takes out a call or a watch that was cancelled.
    pub(super) fn cancel(&self, call: CallId) -> Option<T> {
        let mut cancelled = None;
        let (_, left) = self
            .lock()
            .leave(call, |served| cancelled = Some(served.clone()));
        drop(left);
        cancelled
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len
    }

    /// Takes out all, always in the same order, so that the same run wakes them alike.
    pub(super) fn take(&self) -> Vec<T> {
        let over = Inner {
            over: true,
            ..Inner::default()
        };
        let inner = std::mem::replace(&mut *self.lock(), over);
        let calls = inner.places.into_iter().filter_map(|place| match place {
            Place::Taken(_, served) => Some(served),
            Place::Free(_) => None,
        });
        calls.chain(inner.others.into_values()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Entry> Inner<T> {
    fn has(&self, call: CallId) -> bool {
        let entry = place_of(call).and_then(|place| self.places.get(place));
        let in_place = matches!(entry, Some(Place::Taken(served, _)) if *served == call);
        in_place || (!self.others.is_empty() && self.others.contains_key(&call))
    }

    fn place(&mut self, place: usize) -> Option<&mut Place<T>> {
        if place >= self.places.len() {
            self.places.resize_with(place + 1, || Place::Free(None));
        }
        self.places.get_mut(place)
    }

    /// Frees the place of a call after a look at what is in it; returns whether it had one, and what is
    /// not kept of it.
    fn leave(&mut self, call: CallId, look: impl FnOnce(&T)) -> (bool, Option<T>) {
        let index = place_of(call);
        let place = index.and_then(|index| self.places.get_mut(index));
        let in_place = place
            .filter(|place| matches!(place, Place::Taken(served, _) if *served == call))
            .map(|place| (std::mem::replace(place, Place::Free(None)), place));
        let Some((Place::Taken(_, served), place)) = in_place else {
            let left = self.others.remove(&call).inspect(look);
            self.len -= usize::from(left.is_some());
            return (left.is_some(), left);
        };
        self.len -= 1;
        look(&served);
        let has_room = index.is_some_and(|index| index < KEPT_MAX);
        if self.over || !has_room || !served.may_stay() {
            return (true, Some(served));
        }
        *place = Place::Free(Some(served));
        (true, None)
    }
}

impl<T> Default for Inner<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            others: BTreeMap::new(),
            len: 0,
            over: false,
        }
    }
}

/// In so many places something is left for the next call: about 200 bytes each.
const KEPT_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn call(generation: u64, place: u64) -> CallId {
        CallId(generation << 32 | place)
    }

    impl Entry for char {
        fn may_stay(&self) -> bool {
            self.is_lowercase()
        }
    }

    fn enter(table: &ServedTable<char>, call: CallId, served: char) -> Result<char, NotEntered> {
        table.enter(call, |_| served)
    }

    #[test]
    fn the_next_call_in_a_place_is_made_of_what_the_last_one_left_until_the_end() {
        let table = ServedTable::new(usize::MAX);
        let far = KEPT_MAX as u64;
        for number in [call(1, 0), call(1, far), CallId(u64::MAX)] {
            assert_eq!(enter(&table, number, 'a'), Ok('a'));
            assert!(table.leave(number));
            assert!(!table.leave(number));
        }
        let left = |table: &ServedTable<char>, number| {
            let mut found = None;
            let made = table.enter(number, |left| {
                found = left;
                'b'
            });
            assert_eq!(made, Ok('b'));
            found
        };
        assert_eq!(left(&table, call(2, 0)), Some('a'));
        assert_eq!(left(&table, call(2, far)), None, "so much is not kept");
        assert_eq!(left(&table, CallId(u64::MAX)), None);
        assert_eq!(table.take(), ['b', 'b', 'b']);
        let table = ServedTable::new(8);
        assert_eq!(enter(&table, call(1, 0), 'H'), Ok('H'));
        assert!(table.leave(call(1, 0)));
        assert_eq!(left(&table, call(2, 0)), None, "it held on to something");
        assert_eq!(table.take(), ['b']);
        assert_eq!(left(&table, call(3, 0)), None);
        assert!(table.leave(call(3, 0)));
        assert_eq!(
            left(&table, call(4, 0)),
            None,
            "nothing is kept after the end"
        );
    }

    #[test]
    fn a_call_is_kept_while_the_next_one_in_its_place_comes_and_goes() {
        let table = ServedTable::new(8);
        assert_eq!(enter(&table, call(1, 5), 'a'), Ok('a'));
        assert_eq!(
            enter(&table, call(2, 5), 'b'),
            Ok('b'),
            "before the word that `a` was dropped"
        );
        assert_eq!(table.len(), 2);
        assert_eq!(table.cancel(call(1, 5)), Some('a'));
        assert_eq!(table.cancel(call(1, 5)), None);
        assert_eq!(table.cancel(call(2, 5)), Some('b'));
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_table_is_bounded_whatever_the_numbers_are() {
        let table = ServedTable::new(2);
        assert_eq!(enter(&table, call(1, u64::from(u32::MAX)), 'a'), Ok('a'));
        assert_eq!(enter(&table, CallId(u64::MAX), 'w'), Ok('w'), "a watch");
        assert_eq!(enter(&table, call(1, 0), 'b'), Err(NotEntered::Full));
        assert_eq!(table.cancel(CallId(u64::MAX)), Some('w'));
        assert_eq!(enter(&table, call(1, 0), 'b'), Ok('b'));
        assert_eq!(table.take(), ['b', 'a']);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_number_that_is_in_use_is_refused_and_its_entry_stays() {
        let table = ServedTable::new(8);
        for number in [call(1, 0), call(1, 99), CallId(u64::MAX)] {
            assert_eq!(enter(&table, number, 'a'), Ok('a'));
            assert_eq!(enter(&table, number, 'b'), Err(NotEntered::Twice));
            assert_eq!(table.len(), 1);
            assert_eq!(table.cancel(number), Some('a'));
            assert_eq!(table.cancel(number), None);
        }
        let full = ServedTable::new(1);
        assert_eq!(enter(&full, call(1, 0), 'a'), Ok('a'));
        assert_eq!(enter(&full, call(1, 0), 'b'), Err(NotEntered::Twice));
    }
}
