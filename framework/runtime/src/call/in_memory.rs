//! What a node has in memory for a key, as it is told.
//!
//! A value; depends on nothing.

use callboard_protocol::slots::Epoch;

/// What a node has in memory for a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct InMemory {
    /// Why it was given up, if it was.
    pub(crate) failure: Option<String>,
    pub(crate) is_stopping: bool,
    /// How many messages wait.
    pub(crate) waiting: usize,
    /// How many may wait.
    pub(crate) waiting_max: usize,
    /// The epoch that its turns are bound to, where keys are placed.
    pub(crate) epoch: Option<Epoch>,
}
