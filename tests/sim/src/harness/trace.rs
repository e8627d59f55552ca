//! Everything that happens, in order, as one hash, and as text if somebody wants to read it.
//!
//! Two runs of a seed have to give the same hash. Each datagram counts with its virtual time, its
//! ends, its fate and all its bytes; each event with its virtual time and its text. The trace
//! belongs to the thread, because a world has exactly one.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

thread_local! {
    static TRACE: RefCell<Trace> = RefCell::new(Trace::default());
}

#[derive(Default)]
struct Trace {
    hash: Xxh3,
    now: Duration,
    printed: bool,
    events: u64,
    datagrams: u64,
    line: String,
}

/// What a finished trace comes to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Summary {
    /// The hash over everything, in order.
    pub(crate) hash: u64,
    /// How many events there were.
    pub(crate) events: u64,
    /// How many times a datagram was sent, lost or delivered.
    pub(crate) datagrams: u64,
}

/// Starts a new trace; `printed` also writes every line of it to standard error.
pub(crate) fn start(printed: bool) {
    TRACE.with_borrow_mut(|trace| {
        *trace = Trace {
            printed,
            ..Trace::default()
        }
    });
}

/// Sets the virtual time that the next lines carry.
pub(crate) fn set_now(now: Duration) {
    TRACE.with_borrow_mut(|trace| trace.now = now);
}

/// Returns the virtual time since the start of the world.
pub(crate) fn now() -> Duration {
    TRACE.with_borrow(|trace| trace.now)
}

/// Adds an event; use `event!`.
pub(crate) fn add_event(text: fmt::Arguments<'_>) {
    TRACE.with_borrow_mut(|trace| {
        let Trace {
            line, now, hash, ..
        } = trace;
        line.clear();
        // Writing to a String cannot fail.
        let _ = write!(line, "{:>10.3} {text}", now.as_secs_f64() * 1e3);
        hash.update(line.as_bytes());
        trace.events += 1;
        if trace.printed {
            eprintln!("{}", trace.line);
        }
    });
}

/// Adds what became of a datagram.
pub(crate) fn datagram(fate: &'static str, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
    TRACE.with_borrow_mut(|trace| {
        let Trace { now, hash, .. } = trace;
        // Not as text: there are tens of thousands of these in a world.
        hash.update(&now.as_nanos().to_le_bytes());
        hash.update(fate.as_bytes());
        for end in [from, to] {
            hash.update(&end.port().to_le_bytes());
            match end.ip() {
                IpAddr::V4(ip) => hash.update(&ip.octets()),
                IpAddr::V6(ip) => hash.update(&ip.octets()),
            }
        }
        hash.update(bytes);
        trace.datagrams += 1;
        if trace.printed {
            let at = trace.now.as_secs_f64() * 1e3;
            let digest = xxh3_64(bytes);
            eprintln!(
                "{at:>10.3} {fate} {from} > {to} {} bytes {digest:016x}",
                bytes.len()
            );
        }
    });
}

/// Returns what the trace comes to so far.
pub(crate) fn summary() -> Summary {
    TRACE.with_borrow(|trace| Summary {
        hash: trace.hash.digest(),
        events: trace.events,
        datagrams: trace.datagrams,
    })
}

/// Writes an event into the trace, with the syntax of `format!`.
macro_rules! event {
    ($($text:tt)*) => { $crate::harness::trace::add_event(format_args!($($text)*)) };
}
pub(crate) use event;
