//! Decoders that nothing outside of this crate reaches alone, for the fuzz targets in `tests/fuzz`.
//! Not for use by hand; it may change in any version.
//!
//! It adds nothing to what it opens. It may depend on what it opens.

use callboard_protocol::id::Incarnation;

pub use crate::control::fuzzing::{
    log as control_log, message as control_message, sealed as sealed_log,
};
pub use crate::net::fuzzing::{certificate, development_authority, split};

/// Reads the file `life` of a data folder: the name and the last incarnation.
#[must_use]
pub fn life(bytes: &[u8]) -> Option<(String, Incarnation)> {
    crate::data_dir::parse_life(bytes)
}

/// Returns the file `life` of a node.
#[must_use]
pub fn life_text(name: &str, incarnation: Incarnation) -> String {
    crate::data_dir::life_text(name, incarnation)
}
