//! What surrounds a simulated world: the command line, the batch of processes, the trace and its
//! hash, the counters of rare states, and the verdict.
//!
//! Knows nothing of networks, nodes or calls. May depend on `clap`, `serde_json` and `rand`.

mod batch;
mod child;
mod cli;
mod outcome;
mod seed;
mod soak;
pub(crate) mod sometimes;
pub(crate) mod trace;

pub(crate) use child::{PLANNED_PANIC, Run, Verdict};
pub(crate) use outcome::Failure;
pub(crate) use seed::Seed;

use crate::Symbols;
use std::process::ExitCode;

/// Runs the command line.
pub(crate) fn main(symbols: Symbols) -> ExitCode {
    match cli::parse() {
        cli::Task::OneSeed(order) => child::run(symbols, &order),
        cli::Task::Batch(plan) => batch::run(&plan),
        cli::Task::Soak(plan, file, rounds) => soak::run(&plan, &file, rounds),
    }
}
