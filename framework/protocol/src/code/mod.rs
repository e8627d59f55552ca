//! Stable error codes, and the errors a caller sees.
//!
//! A code says who is at fault, whether the handler may have run, and whether a retry is safe; an
//! error adds what it happened to. The codes are one table in `table.rs`. This module does not
//! decide on retries, it states the facts that such a decision needs. Depends on nothing but serde.

mod error;
mod guess;
mod table;

pub use error::{CallError, DETAIL_BYTES_MAX, HandlerError, ImplementsError, SUBJECT_BYTES_MAX};
pub use table::Code;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who is at fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// The caller: its code, its arguments, its settings.
    Caller,
    /// The other side: its handler, its load, its version.
    Peer,
    /// What lies between the two: the network, or the cluster's membership.
    Network,
    /// This node's own runtime: a limit of its own, or its shutdown.
    Us,
}

/// Whether the handler may have run, and so whether state may have changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ran {
    /// The call never left this node. Nothing was changed.
    NotSent,
    /// The other side refused the call before running it. Nothing was changed.
    Refused,
    /// The handler may have run, in whole, in part or not at all.
    MayHaveRun,
}

/// Whether and when the same call may be tried again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Retry {
    /// Trying again gives the same answer, or is not safe.
    Never,
    /// Trying again is safe for every method: the call did not run. Another node may take it.
    Elsewhere,
    /// Trying again is safe only when running twice is harmless.
    IfIdempotent,
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        Ok(Self::from_number(number).unwrap_or(Self::Unrecognised))
    }
}

#[cfg(test)]
mod tests;
