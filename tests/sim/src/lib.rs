//! Whole clusters from a seed, under faults, the same bit for bit every time.
//!
//! This package runs real nodes (quinn, rustls, ractor and all of Callboard) on one thread, under
//! virtual time, over a simulated network. It is a binary, `callboard-sim`; the library holds
//! everything but the C symbols, which have to be in the executable.
//!
//! ```text
//! batch ──one process per seed──> child ── scenario ── world ─┬─ host n1: a tokio runtime, an Env
//!   │  <──── one line of JSON ────  │                         ├─ host n2: ...
//!   └ compares, counts, reports     └ trace hash, `sometimes` └─ network: fate of every datagram
//! ```
//!
//! A scenario has two phases. In the first the nemesis makes faults and the workload goes on; in the
//! second the faults are gone and everything has to answer again within its bound. The invariants
//! judge what the workload wrote down, not what the runtime says of itself.
//!
//! Nothing here is for production use, and nothing outside this package depends on it.

#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

mod harness;
mod invariants;
mod ledger;
mod nemesis;
mod scenario;
mod world;

use std::process::ExitCode;
use std::time::Duration;

/// The process-wide switches that only the executable can provide.
#[derive(Debug, Clone, Copy)]
pub struct Symbols {
    /// Makes the C library's chance and time a function of the seed, from now on.
    pub arm: fn(seed: u64),
    /// Sets the simulated time since the start that the C library's clocks show.
    pub set_elapsed: fn(Duration),
    /// Ends the process after so many seconds of processor time.
    pub limit_cpu: fn(seconds: u64),
    /// Returns the processor time of the process so far, in milliseconds.
    pub cpu_ms: fn() -> u64,
}

/// Runs the command line of the simulator: a batch of seeds, or one seed if the process was started
/// for it. Returns 0 if what was asked for held, 1 if not, 2 for a command line that makes no sense.
pub fn main(symbols: Symbols) -> ExitCode {
    harness::main(symbols)
}
