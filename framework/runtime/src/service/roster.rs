//! The activations of one type in a round, to find one that may go when there are as many as there may be.
//!
//! An order of all by their last turn would cost each turn a lock. So a hand goes round, and looks at a few for
//! each one that is to go: of those that may, it is the one that was used least recently. Pure: knows no
//! types and runs nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use callboard_protocol::time::Time;

/// What can be in a round.
pub(super) trait Listed {
    /// Returns where its place in the round is kept.
    fn place(&self) -> &AtomicUsize;
}

/// A round.
#[derive(Debug)]
pub(super) struct Roster<E> {
    entries: Vec<Arc<E>>,
    /// Where the next look goes.
    hand: usize,
}

impl<E: Listed> Roster<E> {
    /// Returns how many are in it.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes one in.
    pub(super) fn add(&mut self, entry: Arc<E>) {
        entry.place().store(self.entries.len(), Ordering::Relaxed);
        self.entries.push(entry);
    }

    /// Takes one out, which has to be in it.
    pub(super) fn remove(&mut self, entry: &E) {
        let place = entry.place().load(Ordering::Relaxed);
        self.entries.swap_remove(place);
        if let Some(moved) = self.entries.get(place) {
            moved.place().store(place, Ordering::Relaxed);
        }
    }

    /// Looks at the next few, and returns the one of them that was used least recently; `used_at` is nothing for
    /// one that may not go.
    pub(super) fn pick(&mut self, used_at: impl Fn(&E) -> Option<Time>) -> Option<Arc<E>> {
        let mut oldest: Option<(Time, usize)> = None;
        for _ in 0..self.entries.len().min(LOOKS) {
            let place = self.hand % self.entries.len();
            self.hand = place + 1;
            let used = self.entries.get(place).and_then(|entry| used_at(entry));
            if let Some(used) = used.filter(|used| oldest.is_none_or(|(least, _)| *used < least)) {
                oldest = Some((used, place));
            }
        }
        self.entries.get(oldest?.1).cloned()
    }
}

impl<E> Default for Roster<E> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            hand: 0,
        }
    }
}

/// How many are looked at for one that is to go. Each costs some loads, under the lock of the directory.
const LOOKS: usize = 64;

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    struct Guest {
        name: usize,
        place: AtomicUsize,
    }

    impl Listed for Guest {
        fn place(&self) -> &AtomicUsize {
            &self.place
        }
    }

    fn guests(count: usize) -> (Roster<Guest>, Vec<Arc<Guest>>) {
        let mut roster = Roster::default();
        let guests = (0..count).map(|name| {
            let place = AtomicUsize::new(usize::MAX);
            Arc::new(Guest { name, place })
        });
        let guests: Vec<_> = guests.collect();
        guests.iter().for_each(|guest| roster.add(guest.clone()));
        (roster, guests)
    }

    #[test]
    fn the_one_that_was_used_least_recently_goes_of_those_that_may() {
        let (mut roster, _) = guests(5);
        let used = [30, 10, 20, 40, 50];
        let at = |guest: &Guest| Some(Time::from_millis(used[guest.name]));
        assert_eq!(roster.pick(at).map(|it| it.name), Some(1));
        let busy = |guest: &Guest| at(guest).filter(|_| guest.name != 1);
        assert_eq!(roster.pick(busy).map(|it| it.name), Some(2));
        assert!(roster.pick(|_| None).is_none());
        assert!(Roster::<Guest>::default().pick(at).is_none());
    }

    #[test]
    fn a_search_looks_at_a_few_and_the_next_one_goes_on_from_there() {
        let (mut roster, _) = guests(LOOKS * 4);
        let looks = Cell::new(0);
        for round in 0..8 {
            // Only one may go, and it is found as soon as the hand comes by.
            let picked = roster.pick(|guest| {
                looks.set(looks.get() + 1);
                (guest.name == LOOKS * 3 + 1).then_some(Time::ZERO)
            });
            assert_eq!(picked.is_some(), round % 4 == 3, "{round}");
            assert_eq!(looks.replace(0), LOOKS);
        }
    }

    #[test]
    fn who_was_taken_out_is_not_found_and_all_others_are() {
        let (mut roster, all) = guests(10);
        for (name, guest) in all.iter().enumerate() {
            if name % 3 == 0 {
                roster.remove(guest);
            }
        }
        let mut found = Vec::new();
        while let Some(guest) = roster.pick(|guest| Some(Time::from_millis(guest.name as u64))) {
            roster.remove(&guest);
            found.push(guest.name);
        }
        assert_eq!(found, [1, 2, 4, 5, 7, 8]);
    }
}
