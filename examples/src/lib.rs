//! What the examples share and what needs no cluster to be tested: the pure parts of
//! `cargo run --example cluster`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`span`] | times as a person types and reads them: `20s`, `1.5s`, `312us` |
//! | [`outages`] | how long keys did not answer after their node was killed |
//! | [`faults`] | what was done to the nodes, and when |
//! | [`trace`] | the turns of keyed actors, and whether any two of one key overlapped |
//! | [`script`] | `--script "kill n3@5s; restart n3@10s"`: text to timed steps |
//! | [`expression`] | `--assert "calls_failed==0"`: text to a condition over the summary's fields |
//! | [`pacing`] | begins calls at a steady rate, and says when all of it is over |
//! | [`tally`] | counts every call exactly once and keeps the latencies |
//! | [`members`] | who sees whom, and when all agree |
//! | [`report`] | the events of a run, as aligned text or as one JSON object a line |
//! | [`progress`] | the progress lines of the `files` example |
//! | [`flags`] | the command line of an example without flags |
//!
//! It starts no process, opens no socket and does not depend on `callboard`: the runnable
//! programs are the folders and files next to `src/`.

#![forbid(unsafe_code)]

pub mod expression;
pub mod faults;
pub mod flags;
pub mod members;
pub mod outages;
pub mod pacing;
pub mod progress;
pub mod report;
pub mod script;
pub mod span;
pub mod tally;
pub mod trace;
