//! The calls of one session that wait for their replies.
//!
//! A call id is the place in the table and the place's generation, so that a late reply to a call
//! that has ended can never reach the next call in the same place. Generations begin with one: the
//! number 0 is no call's, and is what a send has that nothing comes back for.
//!
//! The table also keeps when each call is due. One sweep for all of them costs a call nothing, where
//! an entry in the node's wheel has to be made and taken out again. And it keeps what the balance of
//! calls wants to know of the peer, since whoever would note it has the table's lock already.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use callboard_protocol::{
    code::CallError,
    id::{CallId, Incarnation},
    policy::Latency,
    time::Time,
};
use tokio::sync::Notify;

use super::streams::Halves;

/// What came back for a call, still encoded.
#[derive(Debug)]
pub(crate) enum Returned {
    /// The reply's bytes, and when they arrived.
    Body(Bytes, Time),
    /// The reply's bytes come on a stream of their own.
    OnStream(Halves),
    /// An error of the host.
    Failed(CallError),
    /// The session ended first.
    SessionLost,
    /// The life of the peer that was asked is over, though the session may not be: others have its slots,
    /// and nothing that it answers counts.
    LifeOver,
    /// The call's deadline came first, or the node has stopped.
    TooLate,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Pending {
    inner: Mutex<Inner>,
    capacity: usize,
    /// Wakes who sweeps: a call is due before the sweep that was announced.
    sooner: Notify,
}

#[derive(Debug)]
struct Inner {
    places: Vec<Place>,
    free: Vec<u32>,
    /// Of a place that is made anew.
    first_generation: u32,
    over: bool,
    /// No call that waits is due before this.
    due: Time,
    latency: Latency,
    /// When the peer last answered, or was first owed an answer after owing none.
    silent_since: Time,
    /// This life of the peer and all before it are over.
    over_life: Option<Incarnation>,
}

#[derive(Debug)]
struct Place {
    generation: u32,
    state: State,
    began: Time,
    due: Time,
    /// The only life of the peer whose answer counts, of a call of a keyed actor that is placed.
    life: Option<Incarnation>,
}

/// What the balance of calls wants to know of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    /// How many calls wait.
    pub(crate) calls: usize,
    /// The moving average of how long a reply took.
    pub(crate) latency: Duration,
    /// When the peer last answered, or was first owed an answer after owing none.
    pub(crate) silent_since: Time,
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
    /// Makes a table for at most `capacity` calls; it grows with use, about 100 bytes a call.
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = Inner {
            places: Vec::new(),
            free: Vec::new(),
            first_generation: 1,
            over: false,
            due: Time::MAX,
            latency: Latency::default(),
            silent_since: Time::ZERO,
            over_life: None,
        };
        Self {
            inner: Mutex::new(inner),
            capacity,
            sooner: Notify::new(),
        }
    }

    /// Takes a place for a call that begins at `began` and is too late at `due`; `waker` is woken
    /// when something came back. `life` is the only one of the peer whose answer counts, if not
    /// anyone's does.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub(crate) fn open(
        &self,
        (began, due): (Time, Time),
        life: Option<Incarnation>,
        waker: &Waker,
    ) -> Result<CallId, NotOpened> {
        let mut inner = self.lock();
        if inner.over {
            return Err(NotOpened::Over);
        }
        let index = match inner.free.pop() {
            Some(index) => index,
            None if inner.places.len() >= self.capacity => return Err(NotOpened::Full),
            None => {
                let place = Place::new(inner.first_generation);
                inner.places.push(place);
                u32::try_from(inner.places.len() - 1).map_err(|_| NotOpened::Full)?
            }
        };
        if inner.waiting() == 1 {
            inner.silent_since = began;
        }
        let is_sooner = due < inner.due;
        inner.due = inner.due.min(due);
        let is_over = life.is_some() && life <= inner.over_life;
        let Some(place) = inner.places.get_mut(index as usize) else {
            return Err(NotOpened::Full);
        };
        place.state = State::Waiting(Some(waker.clone()));
        (place.began, place.due, place.life) = (began, due, life);
        if is_over {
            // It was found where the slot was a moment ago.
            place.state = State::Back(Returned::LifeOver);
            waker.wake_by_ref();
        }
        let id = call_id(place.generation, index);
        drop(inner);
        if is_sooner {
            self.sooner.notify_one();
        }
        Ok(id)
    }

    /// Ends the calls that are due at `now`. Returns when the next sweep has to be, which is the end
    /// of time if no call waits; nothing once the session has ended.
    pub(crate) fn sweep(&self, now: Time) -> Option<Time> {
        let mut inner = self.lock();
        if inner.over {
            return None;
        }
        if now < inner.due {
            return Some(inner.due);
        }
        let (late, next) = inner.take_late(now);
        drop(inner);
        wake(late);
        Some(next)
    }

    /// Waits until a call is due before the sweep that was announced, or the session has ended.
    pub(crate) async fn sooner(&self) {
        self.sooner.notified().await;
    }

    /// Ends all calls as too late, and refuses every later one: the node has stopped.
    pub(crate) fn stop(&self) {
        let mut inner = self.lock();
        if !mem::replace(&mut inner.over, true) {
            let (late, _) = inner.take_late(Time::MAX);
            drop(inner);
            wake(late);
        }
    }

    /// This life of the peer, and all before it, are over: ends the calls that only it could answer, and
    /// those that are still made of it.
    pub(crate) fn end_life(&self, life: Incarnation) {
        let mut inner = self.lock();
        if inner.over_life >= Some(life) {
            return;
        }
        inner.over_life = Some(life);
        let mut over = Vec::new();
        for place in &mut inner.places {
            let is_over = place.life.is_some_and(|of| of <= life);
            if let (true, State::Waiting(waker)) = (is_over, &mut place.state) {
                over.extend(waker.take());
                place.state = State::Back(Returned::LifeOver);
            }
        }
        drop(inner);
        wake(over);
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
            // Of a session that ended, nothing comes back any more.
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

    /// Gives what came back at `now` to the call; returns whether the call waited for it.
    pub(crate) fn complete(&self, call: CallId, returned: Returned, now: Time) -> bool {
        let waker = {
            let mut inner = self.lock();
            let Some(place) = inner.place(call) else {
                return false;
            };
            let State::Waiting(waker) = &mut place.state else {
                return false;
            };
            let (waker, took) = (waker.take(), now.saturating_since(place.began));
            let is_reply = matches!(returned, Returned::Body(..));
            place.state = State::Back(returned);
            inner.silent_since = now;
            if is_reply {
                inner.latency.observe(took, now);
            }
            waker
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
        wake(waiting);
        self.sooner.notify_one();
    }

    /// Returns how many calls wait, or have not taken what came back.
    pub(crate) fn len(&self) -> usize {
        self.lock().waiting()
    }

    /// Returns what the peer owes at `now`.
    pub(crate) fn owed(&self, now: Time) -> Owed {
        let inner = self.lock();
        Owed {
            calls: inner.waiting(),
            latency: inner.latency.get(now),
            silent_since: inner.silent_since,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn new(generation: u32) -> Self {
        Self {
            generation,
            state: State::Free,
            began: Time::ZERO,
            due: Time::MAX,
            life: None,
        }
    }
}

impl Inner {
    fn waiting(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Marks the calls that are due at `now`. Returns whom to wake, and when the next call is due.
    fn take_late(&mut self, now: Time) -> (Vec<Waker>, Time) {
        let mut late = Vec::new();
        self.due = Time::MAX;
        for place in &mut self.places {
            match &mut place.state {
                State::Waiting(waker) if place.due <= now => {
                    late.extend(waker.take());
                    place.state = State::Back(Returned::TooLate);
                }
                State::Waiting(_) => self.due = self.due.min(place.due),
                State::Free | State::Back(_) => {}
            }
        }
        (late, self.due)
    }

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
        place.generation = match place.generation {
            GENERATION_MASK => 1,
            generation => generation + 1,
        };
        self.free.push(parts(call).1);
        self.shrink();
        Some(state)
    }

    /// Gives the places of a burst back once no call waits. A place that is made anew goes on with the
    /// generations, so that no late reply to a call of the burst fits it.
    fn shrink(&mut self) {
        if self.waiting() > 0 || self.places.len() <= KEPT_MAX {
            return;
        }
        let used = self.places.iter().map(|place| place.generation).max();
        self.first_generation = used.unwrap_or(1).max(self.first_generation);
        self.places = Vec::new();
        self.free = Vec::new();
    }
}

fn wake(callers: Vec<Waker>) {
    for caller in callers {
        caller.wake();
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

/// So many places stay when no call waits: about 100 bytes each.
const KEPT_MAX: usize = 1024;

/// The number of a send that nothing comes back for and that has no stream.
pub(super) const NO_CALL: CallId = CallId(0);

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

    fn open(pending: &Pending) -> Result<CallId, NotOpened> {
        pending.open((Time::ZERO, Time::MAX), None, Waker::noop())
    }

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn a_late_reply_does_not_reach_the_next_call_in_the_same_place() {
        let pending = Pending::new(1);
        let first = open(&pending).expect("the table is empty");
        pending.close(first);
        let second = open(&pending).expect("the place is free again");
        assert!(!pending.complete(first, failed(), at(1)));
        assert!(poll(&pending, second).is_pending());
        assert!(pending.complete(second, failed(), at(1)));
        assert!(!pending.complete(second, failed(), at(1)), "a second reply");
        assert!(matches!(
            poll(&pending, second),
            Poll::Ready(Returned::Failed(_))
        ));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn the_places_of_a_burst_are_given_back_and_no_late_reply_fits_a_new_one() {
        let pending = Pending::new(usize::MAX);
        let burst = |calls| {
            let opened = (0..calls).map(|_| open(&pending).expect("there is room"));
            let opened = opened.collect::<Vec<_>>();
            opened.iter().for_each(|call| pending.close(*call));
            opened
        };
        burst(KEPT_MAX);
        assert_eq!(pending.lock().places.len(), KEPT_MAX);
        let earlier = burst(3 * KEPT_MAX);
        assert_eq!(pending.lock().places.capacity(), 0);
        assert_eq!(pending.lock().free.capacity(), 0);
        let later = burst(3 * KEPT_MAX);
        assert!(earlier.iter().all(|call| !later.contains(call)));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn a_full_table_refuses_and_an_ended_one_too() {
        let pending = Pending::new(1);
        let waits = open(&pending).expect("the table is empty");
        assert_eq!(open(&pending), Err(NotOpened::Full));
        assert!(poll(&pending, waits).is_pending());
        pending.end();
        assert!(matches!(
            poll(&pending, waits),
            Poll::Ready(Returned::SessionLost)
        ));
        assert_eq!(open(&pending), Err(NotOpened::Over));
        assert_eq!(pending.len(), 0);
    }

    #[test]
    fn what_came_back_before_the_end_is_still_taken() {
        let pending = Pending::new(1);
        let call = open(&pending).expect("the table is empty");
        assert!(pending.complete(call, failed(), at(1)));
        pending.end();
        assert!(matches!(
            poll(&pending, call),
            Poll::Ready(Returned::Failed(_))
        ));
    }

    #[test]
    fn a_sweep_ends_the_calls_that_are_due_and_says_when_the_next_one_is() {
        let pending = Pending::new(3);
        assert_eq!(pending.sweep(at(5)), Some(Time::MAX));
        let [late, early, answered] = [30, 10, 10].map(|due| {
            let opened = pending.open((at(0), at(due)), None, Waker::noop());
            opened.expect("there is room")
        });
        assert!(pending.complete(answered, failed(), at(9)));
        assert_eq!(pending.sweep(at(9)), Some(at(10)));
        assert_eq!(pending.sweep(at(10)), Some(at(30)));
        assert!(matches!(
            poll(&pending, early),
            Poll::Ready(Returned::TooLate)
        ));
        assert!(matches!(
            poll(&pending, answered),
            Poll::Ready(Returned::Failed(_))
        ));
        assert!(poll(&pending, late).is_pending());
        pending.stop();
        assert!(matches!(
            poll(&pending, late),
            Poll::Ready(Returned::TooLate)
        ));
        let opened = pending.open((at(0), at(40)), None, Waker::noop());
        assert_eq!(opened, Err(NotOpened::Over));
        assert_eq!((pending.sweep(at(50)), pending.len()), (None, 0));
    }

    #[tokio::test]
    async fn who_sweeps_hears_of_a_call_that_is_due_sooner() {
        let pending = Pending::new(2);
        let mut sooner = Box::pin(pending.sooner());
        assert!(futures_util::poll!(&mut sooner).is_pending());
        let first = pending.open((at(0), at(20)), None, Waker::noop());
        first.expect("there is room");
        sooner.await;
        let mut sooner = Box::pin(pending.sooner());
        let later = pending.open((at(0), at(30)), None, Waker::noop());
        later.expect("there is room");
        assert!(futures_util::poll!(&mut sooner).is_pending());
    }

    #[test]
    fn the_number_of_a_send_is_no_calls_even_when_generations_begin_again() {
        let pending = Pending::new(1);
        for _ in 0..2 {
            let call = open(&pending).expect("the place is free");
            assert_ne!(call, CallId(0));
            pending.close(call);
            pending.lock().places[0].generation = GENERATION_MASK;
        }
        let last = open(&pending).expect("the place is free");
        pending.close(last);
        assert_eq!(pending.lock().places[0].generation, 1);
    }

    #[test]
    fn the_peers_silence_begins_with_the_first_call_that_it_owes_and_ends_with_an_answer() {
        let pending = Pending::new(2);
        let first = pending.open((at(7), Time::MAX), None, Waker::noop());
        let first = first.expect("there is room");
        let second = pending.open((at(8), Time::MAX), None, Waker::noop());
        second.expect("there is room");
        let owed = pending.owed(at(9));
        assert_eq!((owed.calls, owed.silent_since), (2, at(7)));
        assert_eq!(owed.latency, Duration::ZERO);
        let body = Returned::Body(Bytes::new(), at(17));
        assert!(pending.complete(first, body, at(17)));
        let owed = pending.owed(at(17));
        assert_eq!(owed.silent_since, at(17));
        assert_eq!(owed.latency, Duration::from_nanos(10));
    }

    #[test]
    fn a_life_that_is_over_answers_no_call_that_only_it_could() {
        let pending = Pending::new(4);
        let open = |life: Option<u64>| {
            let life = life.map(Incarnation);
            let opened = pending.open((at(0), at(100)), life, Waker::noop());
            opened.expect("there is room")
        };
        let [old, new, any] = [Some(7), Some(8), None].map(open);
        pending.end_life(Incarnation(7));
        pending.end_life(Incarnation(6));
        let over = |call| matches!(poll(&pending, call), Poll::Ready(Returned::LifeOver));
        assert_eq!([old, new, any].map(over), [true, false, false]);
        assert!(!pending.complete(old, failed(), at(9)), "it comes too late");
        assert!(over(open(Some(7))), "one that was on its way there");
        assert!(!over(open(Some(8))));
    }
}
