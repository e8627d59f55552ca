//! What the process of one seed reports: one line of JSON.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The invariant's name, in kebab case.
    pub(crate) invariant: String,
    /// What was seen, and what should have been.
    pub(crate) detail: String,
    /// Virtual milliseconds since the start.
    pub(crate) at_ms: u64,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {} ms: {}",
            self.invariant, self.at_ms, self.detail
        )
    }
}

/// The result of one run of one seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The seed that was run.
    pub(crate) seed: u64,
    /// The hash of the trace, in hexadecimal.
    pub(crate) trace_hash: String,
    /// Events in the trace.
    pub(crate) events: u64,
    /// Fates of datagrams in the trace.
    pub(crate) datagrams: u64,
    /// Simulated time.
    pub(crate) virtual_ms: u64,
    /// Processor time of the process.
    pub(crate) cpu_ms: u64,
    /// The first invariant that did not hold.
    pub(crate) failure: Option<Failure>,
    /// How often each rare state was reached.
    pub(crate) reached: BTreeMap<String, u64>,
    /// What the world counted, for readers.
    pub(crate) totals: BTreeMap<String, u64>,
}
