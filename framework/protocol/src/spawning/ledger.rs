//! The requests of the last while.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{id::ActorId, time::Time};

/// The requests that a node has had, of callers that are told apart by `K`.
///
/// Each is remembered for [`KEPT_WITHIN`]: longer than anybody asks again.
#[derive(Clone, Debug)]
pub struct Ledger<K> {
    requests: BTreeMap<K, Fate>,
    /// In the order in which they are due.
    due: VecDeque<(Time, K)>,
    requests_max: usize,
}

/// What has become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its actor is there, and nobody has said anything of it.
    Made(ActorId),
    Kept(ActorId),
    /// Whoever asked wants no actor any more.
    LetGo,
}

/// What is known of a request that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: an actor is to be made for it.
    New,
    /// It has made this actor.
    Made(ActorId),
    /// Whoever asked wants no actor any more.
    LetGo,
    /// Nothing, and as many requests are remembered as may be.
    Full,
}

impl<K: Ord + Clone> Ledger<K> {
    /// Makes one that remembers so many requests at most.
    #[must_use]
    pub fn new(requests_max: usize) -> Self {
        Self {
            requests: BTreeMap::new(),
            due: VecDeque::new(),
            requests_max,
        }
    }

    /// Takes in that the request has made this actor, which has to be [`Known::New`].
    pub fn handle_made(&mut self, request: K, actor: ActorId, now: Time) {
        self.enter(request, Fate::Made(actor), now);
    }

    /// Takes in that the caller keeps the actor of the request.
    pub fn handle_kept(&mut self, request: &K) {
        if let Some(fate) = self.requests.get_mut(request)
            && let Fate::Made(actor) = *fate
        {
            *fate = Fate::Kept(actor);
        }
    }

    /// Takes in that the caller wants no actor of the request any more; returns the one that is to end. A request
    /// that comes after this one makes none.
    pub fn handle_let_go(&mut self, request: K, now: Time) -> Option<ActorId> {
        match self.requests.get_mut(&request) {
            Some(fate) => match std::mem::replace(fate, Fate::LetGo) {
                Fate::Made(actor) | Fate::Kept(actor) => Some(actor),
                Fate::LetGo => None,
            },
            None => {
                if self.requests.len() < self.requests_max {
                    self.enter(request, Fate::LetGo, now);
                }
                None
            }
        }
    }

    /// Forgets the next request that is due; returns its actor, which is to end, if nobody keeps it.
    pub fn poll_due(&mut self, now: Time) -> Option<ActorId> {
        while let Some((at, _)) = self.due.front()
            && *at <= now
        {
            let (_, request) = self.due.pop_front()?;
            if let Some(Fate::Made(actor)) = self.requests.remove(&request) {
                return Some(actor);
            }
        }
        None
    }

    /// Returns when the next request is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        self.due.front().map(|(at, _)| *at)
    }

    /// Returns what is known of a request.
    #[must_use]
    pub fn known(&self, request: &K) -> Known {
        match self.requests.get(request) {
            Some(Fate::Made(actor) | Fate::Kept(actor)) => Known::Made(*actor),
            Some(Fate::LetGo) => Known::LetGo,
            None if self.requests.len() >= self.requests_max => Known::Full,
            None => Known::New,
        }
    }

    /// Returns how many requests are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Returns whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    fn enter(&mut self, request: K, fate: Fate, now: Time) {
        self.due.push_back((now + KEPT_WITHIN, request.clone()));
        self.requests.insert(request, fate);
    }
}

/// How long a request is remembered, and its actor waits for word that it is kept: many times what a caller takes that
/// is asked to wait for a lost link, and short enough that an actor which nobody knows of is soon gone.
pub const KEPT_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const A: ActorId = ActorId(7);
    const B: ActorId = ActorId(8);

    fn at(secs: u64) -> Time {
        Time::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn a_request_that_comes_again_finds_the_actor_of_the_first() {
        let mut ledger = Ledger::new(10);
        assert_eq!(ledger.known(&1), Known::New);
        ledger.handle_made(1, A, at(0));
        assert_eq!(ledger.known(&1), Known::Made(A));
        ledger.handle_kept(&1);
        assert_eq!(ledger.known(&1), Known::Made(A), "also late");
        assert_eq!(ledger.known(&2), Known::New);
    }

    #[test]
    fn an_actor_that_nobody_keeps_ends_and_one_that_is_kept_does_not() {
        let mut ledger = Ledger::new(10);
        ledger.handle_made(1, A, at(0));
        ledger.handle_made(2, B, at(1));
        ledger.handle_kept(&1);
        assert_eq!(ledger.next_deadline(), Some(at(30)));
        assert_eq!(ledger.poll_due(at(29)), None);
        assert_eq!(ledger.poll_due(at(31)), Some(B));
        assert_eq!(
            (ledger.poll_due(at(31)), ledger.next_deadline()),
            (None, None)
        );
        assert!(ledger.is_empty());
    }

    #[test]
    fn an_actor_that_was_let_go_ends_once_and_its_request_makes_no_other() {
        let mut ledger = Ledger::new(10);
        ledger.handle_made(1, A, at(0));
        assert_eq!(ledger.handle_let_go(1, at(1)), Some(A));
        assert_eq!(ledger.handle_let_go(1, at(1)), None);
        assert_eq!(ledger.known(&1), Known::LetGo);
        // Word of it may come before the request does.
        assert_eq!(ledger.handle_let_go(2, at(1)), None);
        assert_eq!(ledger.known(&2), Known::LetGo);
        ledger.handle_kept(&2);
        assert_eq!(ledger.known(&2), Known::LetGo);
        assert_eq!(ledger.poll_due(at(60)), None);
        assert_eq!(ledger.len(), 0);
    }

    #[test]
    fn it_remembers_as_many_as_it_may() {
        let mut ledger = Ledger::new(2);
        ledger.handle_made(1, A, at(0));
        assert_eq!(ledger.handle_let_go(2, at(0)), None);
        assert_eq!(ledger.known(&3), Known::Full);
        assert_eq!(ledger.known(&1), Known::Made(A));
        assert_eq!(ledger.handle_let_go(3, at(0)), None);
        assert_eq!(ledger.len(), 2, "what nobody has asked for needs no place");
        assert_eq!(ledger.poll_due(at(30)), Some(A));
        assert_eq!(ledger.known(&3), Known::New);
    }
}
