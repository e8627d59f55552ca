//! Policies of callers: when to try again, and which node to ask.
//!
//! Each is a small struct that is told what happened and asked what to do. They do not know calls,
//! links or nodes: a caller numbers its choices. All arithmetic is on integers, so that every
//! machine decides alike. Depends on `time`.

mod balance;
mod retry;

pub use balance::{Latency, Load, choose};
pub use retry::{RetryBudget, RetrySettings};
