//! What a node process tells the driver, on its standard output, and is told, on its standard input:
//! one JSON value a line.
//!
//! The pipes carry only who is up and who sees whom, for the report, and what the script does; calls
//! never touch them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// A line from a node to its driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// It listens here and answers calls.
    Ready(SocketAddr),
    /// The names of the members that it is linked with, itself included, whenever they change.
    Members(Vec<String>),
    /// Whether it is a member of the cluster with a lease, and whether it leads the control group and
    /// votes in it, whenever that changes.
    Stands {
        /// It holds a lease.
        member: bool,
        /// It leads.
        leads: bool,
        /// It votes.
        votes: bool,
    },
}

/// A line from the driver to a node. The end of them without [`Told::Stop`] or [`Told::Drain`] means
/// that the driver is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Told {
    /// Finish what is in flight and end.
    Stop,
    /// Hand over what it owns, and then as for stop.
    Drain,
    /// Lose all packets to and from these addresses, and no others.
    Split(Vec<SocketAddr>),
}
