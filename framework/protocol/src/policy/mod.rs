//! Policies of callers and hosts: when to try again, which node to ask, and what would wait too long.
//!
//! Each is a small struct that is told what happened and asked what to do. They do not know calls,
//! links or nodes: a caller numbers its choices. All arithmetic is on integers, so that every
//! machine decides alike. Depends on `time`.

mod balance;
mod pace;
mod retry;
mod stopwatch;

pub use balance::{Latency, Load, candidates, choose};
pub use pace::{Pace, wait_max};
pub use retry::{RetryBudget, RetrySettings};
pub use stopwatch::Stopwatch;
