//! Keeps the order of a pair when a body travels apart from its frame.
//!
//! A frame whose body comes on a stream of its own holds its pair: later frames of the same sender
//! for the same target wait behind it, all others pass. So does a send whose target has no room for
//! it. When much waits, the lanes pause, so that the peer's sends wait where they are made.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

/// A frame as far as the order goes.
pub(super) trait Ordered {
    /// The sender and the target.
    type Pair: Clone + Ord + fmt::Debug;

    /// Returns the pair whose order is kept.
    fn pair(&self) -> &Self::Pair;
    /// Returns what waiting costs, in bytes.
    fn cost(&self) -> usize;
    /// Returns whether nothing of the frame is still to come.
    fn is_whole(&self) -> bool;
}

/// The pairs of one session that are held.
#[derive(Debug)]
pub(super) struct Holds<F: Ordered> {
    pairs: Mutex<BTreeMap<F::Pair, VecDeque<F>>>,
    /// So that the common case takes no lock.
    held: AtomicUsize,
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Wakes the lanes that pause.
    light: Notify,
}

/// What became of a frame.
#[derive(Debug)]
pub(super) enum Held<F> {
    /// Its pair is not held: run it. A frame that is not whole holds its pair from now on.
    Free(F),
    /// It waits.
    Waits,
    /// It would wait, but what waits is at its limit.
    Full(F),
}

impl<F: Ordered> Holds<F> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            pairs: Mutex::default(),
            held: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            bytes_max,
            light: Notify::new(),
        }
    }

    /// Holds the pair of a whole frame that cannot go on yet. Whoever holds it asks for what is
    /// [next](Self::next), and [lets go](Self::let_go) of the frame's cost in the end.
    ///
    /// # Errors
    /// The frame, when what waits is at its limit.
    pub(super) fn hold(&self, frame: F) -> Result<F, F> {
        let mut pairs = self.lock();
        let bytes = self.bytes.load(Ordering::Relaxed) + frame.cost() + HOLD_BYTES;
        if bytes > self.bytes_max {
            return Err(frame);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        pairs.entry(frame.pair().clone()).or_default();
        self.held.store(pairs.len(), Ordering::Release);
        Ok(frame)
    }

    /// Takes the cost of the frame that held a pair off what waits.
    pub(super) fn let_go(&self, cost: usize) {
        let _pairs = self.lock();
        self.lighter(cost + HOLD_BYTES);
    }

    fn lighter(&self, cost: usize) {
        let was_heavy = self.is_heavy();
        // What waited was dropped when the session ended.
        let bytes = self.bytes.load(Ordering::Relaxed).saturating_sub(cost);
        self.bytes.store(bytes, Ordering::Relaxed);
        if was_heavy && !self.is_heavy() {
            self.light.notify_waiters();
        }
    }

    /// Returns whether more than half of what may wait does: a batch that was read already still fits.
    pub(super) fn is_heavy(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max / 2
    }

    /// Waits until no more than half of what may wait does.
    pub(super) async fn light(&self) {
        loop {
            let light = self.light.notified();
            tokio::pin!(light);
            // Registered BEFORE looking, so that a change after the look is not missed.
            light.as_mut().enable();
            if !self.is_heavy() {
                return;
            }
            light.await;
        }
    }

    /// Returns whether no pair is held, so that a whole frame passes.
    pub(super) fn is_empty(&self) -> bool {
        self.held.load(Ordering::Acquire) == 0
    }

    /// Returns whether a pair is held of which this is so.
    pub(super) fn has(&self, is: impl FnMut(&F::Pair) -> bool) -> bool {
        !self.is_empty() && self.lock().keys().any(is)
    }

    /// Lets a frame wait if its pair is held; holds the pair if it is free and the frame is not
    /// whole. Both under one lock: two lanes may bring frames of one pair at once.
    pub(super) fn pass(&self, frame: F) -> Held<F> {
        if frame.is_whole() && self.is_empty() {
            return Held::Free(frame);
        }
        let mut pairs = self.lock();
        let Some(waiting) = pairs.get_mut(frame.pair()) else {
            if !frame.is_whole() {
                pairs.insert(frame.pair().clone(), VecDeque::new());
                self.held.store(pairs.len(), Ordering::Release);
            }
            return Held::Free(frame);
        };
        let bytes = self.bytes.load(Ordering::Relaxed) + frame.cost();
        if bytes > self.bytes_max {
            return Held::Full(frame);
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        waiting.push_back(frame);
        Held::Waits
    }

    /// Returns the next frame that waits for the pair; releases the pair when there is none.
    pub(super) fn next(&self, pair: &F::Pair) -> Option<F> {
        let mut pairs = self.lock();
        let next = pairs.get_mut(pair).and_then(VecDeque::pop_front);
        match &next {
            Some(frame) => self.lighter(frame.cost()),
            None => {
                pairs.remove(pair);
                self.held.store(pairs.len(), Ordering::Release);
            }
        }
        next
    }

    /// Drops all that waits.
    pub(super) fn end(&self) {
        // Dropped AFTER the lock was released: a frame answers its caller when it goes.
        let waiting = {
            let mut pairs = self.lock();
            self.held.store(0, Ordering::Release);
            self.bytes.store(0, Ordering::Relaxed);
            std::mem::take(&mut *pairs)
        };
        self.light.notify_waiters();
        drop(waiting);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<F::Pair, VecDeque<F>>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a pair that is held costs besides its frames: the task that waits for it.
const HOLD_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Frame {
        pair: (u64, u64),
        number: u32,
        whole: bool,
    }

    impl Ordered for Frame {
        type Pair = (u64, u64);

        fn pair(&self) -> &(u64, u64) {
            &self.pair
        }

        fn cost(&self) -> usize {
            10
        }

        fn is_whole(&self) -> bool {
            self.whole
        }
    }

    fn frame(pair: (u64, u64), number: u32, whole: bool) -> Frame {
        Frame {
            pair,
            number,
            whole,
        }
    }

    #[test]
    fn a_second_large_body_waits_and_loses_nothing_that_waits() {
        let holds = Holds::new(100);
        let pair = (1, 7);
        assert!(matches!(holds.pass(frame(pair, 0, false)), Held::Free(_)));
        assert!(matches!(holds.pass(frame(pair, 1, true)), Held::Waits));
        assert!(matches!(holds.pass(frame(pair, 2, false)), Held::Waits));
        assert!(matches!(holds.pass(frame(pair, 3, true)), Held::Waits));
        let waited: Vec<_> = std::iter::from_fn(|| holds.next(&pair))
            .map(|frame| frame.number)
            .collect();
        assert_eq!(waited, [1, 2, 3]);
        assert!(matches!(holds.pass(frame(pair, 4, true)), Held::Free(_)));
    }

    #[test]
    fn a_large_body_of_one_sender_does_not_hold_another() {
        let holds = Holds::new(100);
        assert!(matches!(holds.pass(frame((1, 7), 0, false)), Held::Free(_)));
        assert!(matches!(holds.pass(frame((2, 7), 1, true)), Held::Free(_)));
        assert!(matches!(holds.pass(frame((1, 8), 2, true)), Held::Free(_)));
    }

    #[tokio::test]
    async fn a_lane_pauses_while_half_of_what_may_wait_does() {
        let holds = Holds::new(2 * (HOLD_BYTES + 20) + 10);
        let pair = (1, 7);
        let first = holds.hold(frame(pair, 7, true));
        assert!(first.is_ok(), "there is room");
        assert!(!holds.is_empty());
        assert!(matches!(holds.pass(frame(pair, 0, true)), Held::Waits));
        assert!(!holds.is_heavy());
        assert!(matches!(holds.pass(frame(pair, 1, true)), Held::Waits));
        assert!(holds.is_heavy());
        let mut light = Box::pin(holds.light());
        assert!(futures_util::poll!(&mut light).is_pending());
        assert_eq!(holds.next(&pair).map(|frame| frame.number), Some(0));
        light.await;
        assert_eq!(holds.next(&pair).map(|frame| frame.number), Some(1));
        assert!(holds.next(&pair).is_none());
        assert!(holds.is_empty());
    }

    #[test]
    fn where_nothing_may_wait_no_lane_pauses() {
        let holds = Holds::new(0);
        assert!(!holds.is_heavy());
        let refused = holds.hold(frame((1, 7), 0, true));
        assert!(refused.is_err(), "there is no room");
        assert!(!holds.is_heavy());
    }

    #[test]
    fn every_pair_that_is_held_counts_whoever_its_sender_says_it_is() {
        let holds = Holds::new(HOLD_BYTES + 15);
        let first = holds.hold(frame((1, 7), 0, true));
        let first = first.expect("there is room");
        assert!(holds.hold(frame((2, 7), 1, true)).is_err());
        assert!(holds.next(&first.pair).is_none());
        holds.let_go(first.cost());
        assert!(holds.hold(frame((2, 7), 1, true)).is_ok());
    }

    #[test]
    fn what_waits_is_bounded() {
        let holds = Holds::new(15);
        let pair = (1, 7);
        assert!(matches!(holds.pass(frame(pair, 0, false)), Held::Free(_)));
        assert!(matches!(holds.pass(frame(pair, 1, true)), Held::Waits));
        assert!(matches!(holds.pass(frame(pair, 2, true)), Held::Full(_)));
        assert!(holds.next(&pair).is_some());
        assert!(matches!(holds.pass(frame(pair, 3, true)), Held::Waits));
    }
}
