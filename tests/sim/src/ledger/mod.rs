//! What the workload writes down, and the invariants read.
//!
//! ```text
//! callers, handlers, nemesis ── record(Event) ──> Ledger ── take() ──> every invariant, every step
//! ```
//!
//! The ledger stands outside the simulated machines: it survives their crashes, and it is written by
//! the code of the test, so the runtime is judged by what was seen and not by what it says of
//! itself. It knows nothing of networks. Every event also goes into the trace.

mod event;
mod turn;

pub(crate) use event::{Acting, Event, Outcome, Usage, Work};
pub(crate) use turn::Turn;

use crate::harness::trace;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// The number of a call, unique in a world. It travels as an argument and comes back in the reply.
pub(crate) type Token = u64;

/// The number of a machine in its world.
pub(crate) type MachineNumber = usize;

/// An event and its virtual time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Time since the start of the world, to the resolution of a step.
    pub(crate) at: Duration,
    /// What happened.
    pub(crate) event: Event,
}

/// A cloneable handle to the one ledger of a world.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    book: Arc<Mutex<Book>>,
}

#[derive(Debug, Default)]
struct Book {
    entries: VecDeque<Entry>,
    tokens: Token,
}

impl Ledger {
    /// Returns a token that nobody has.
    pub(crate) fn token(&self) -> Token {
        let mut book = self.book();
        book.tokens += 1;
        book.tokens
    }

    /// Writes an event down, at the current time.
    pub(crate) fn record(&self, event: Event) {
        trace::event!("{event:?}");
        self.book().entries.push_back(Entry {
            at: trace::now(),
            event,
        });
    }

    /// Takes the oldest entry that was not taken yet.
    pub(crate) fn take(&self) -> Option<Entry> {
        self.book().entries.pop_front()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
