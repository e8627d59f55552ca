//! Which refusals of a foreign authority are worth a warning: whoever started the two has to hear of it, and nobody
//! who dials without end may fill the log.
//!
//! An address is told of once in a while, and so are so many of them together; what is left out is counted, and
//! told with the next one. Here it is decided and put into words; `mesh` asks.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::error::LinkDown;
use super::trust::Trust;

/// Whose refusals were told lately.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Until when no more is told of one; of [`TOLD_MAX`] at most.
    told: BTreeMap<IpAddr, Instant>,
    /// How many were not told since one was.
    left_out: u64,
}

impl Strangers {
    /// Takes in that a dialler from there and this node do not know each other's authority, and warns of it if that
    /// is due; `trust` is what this node shows.
    pub(super) fn warn(&self, from: SocketAddr, why: &LinkDown, trust: &Trust, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.handle(from.ip(), now);
        drop(state);
        if let Some(left_out) = due {
            let (left_out, why) = (
                (left_out > 0).then_some(left_out),
                trust.explain(why.clone()),
            );
            tracing::warn!(
                left_out,
                "a connection from {from} became no link, as its side and this one have certificates of different \
                 authorities ({why}); give both certificates of the same authority"
            );
        }
    }
}

impl State {
    /// Returns how many were left out before this one if it is to be told, and nothing if it is left out too.
    fn handle(&mut self, from: IpAddr, now: Instant) -> Option<u64> {
        self.told.retain(|_, until| *until > now);
        if self.told.contains_key(&from) || self.told.len() >= TOLD_MAX {
            self.left_out += 1;
            return None;
        }
        self.told.insert(from, now + TOLD_EVERY);
        Some(std::mem::take(&mut self.left_out))
    }
}

/// How often one address is told of.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// How many addresses are told of in that time.
const TOLD_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_once_in_a_while_and_what_was_left_out_with_the_next() {
        let (mut state, start) = (State::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert_eq!(state.handle(one, at(0)), Some(0));
        for millis in 1..=99 {
            assert_eq!(state.handle(one, at(millis * 100)), None);
        }
        assert_eq!(state.handle(other, at(9_999)), Some(99));
        assert_eq!(state.handle(one, at(10_000)), Some(0));
        assert_eq!(state.handle(other, at(10_000)), None);
    }

    #[test]
    fn no_number_of_addresses_fills_the_log() {
        let (mut state, now) = (State::default(), Instant::now());
        let many = (0..100_000_u32).map(|number| IpAddr::from(number.to_be_bytes()));
        let told = many.filter(|it| state.handle(*it, now).is_some()).count();
        assert_eq!((told, state.told.len()), (TOLD_MAX, TOLD_MAX));
        let later = now + TOLD_EVERY;
        let next = state.handle(IpAddr::from([10, 0, 0, 1]), later);
        assert_eq!(next, Some(100_000 - TOLD_MAX as u64));
    }
}
