//! Drives the control group's decisions: who owns which slot, and what this node may do by it.
//!
//! It may depend on `control`, `net`, `telemetry`, `env` and `task`. Calls and actors are above it.

mod ownership;
mod placing;

pub use ownership::Ownership;
pub use placing::{Placing, group_of};
