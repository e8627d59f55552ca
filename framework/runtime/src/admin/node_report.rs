//! How one node is, as it is told.
//!
//! Values; they depend on nothing.

use callboard_macros::Wire;

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct NodeReport {
    /// Its name.
    pub name: String,
    /// Which of its lives it is in.
    pub incarnation: u64,
    /// Where it listens.
    pub addr: String,
    /// The version of Callboard that it is built with.
    pub callboard: String,
    /// How long it has been there, in milliseconds.
    pub uptime_ms: u64,
    /// How many nodes it is linked with.
    pub linked_nodes: u64,
    /// The version of the control group's state that it knows; 0 while it knows none.
    pub version: u64,
    /// The term of the control group that it knows; 0 on a node that has no part in it.
    pub term: u64,
    /// Whether it leads the control group.
    pub leads: bool,
    /// Whether it votes in the control group.
    pub votes: bool,
    /// How long its lease lasts, in milliseconds; nothing without one.
    pub lease_left_ms: Option<u64>,
    /// How many slots it owns, or is about to.
    pub slots: u64,
    /// What keeps it from being a member, if something does.
    pub trouble: Option<String>,
}
