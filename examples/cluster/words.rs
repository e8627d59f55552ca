//! What a node process tells the driver: one JSON object a line on its standard output.
//!
//! This pipe carries only who is up and who sees whom, for the report; calls never touch it.

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
}

/// What the driver writes to a node's standard input to make it stop in order. The end of the
/// input without it means that the driver is gone.
pub(crate) const STOP: &str = "stop";
