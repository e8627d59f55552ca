//! Names of spawned actors, by which every node and client of the cluster finds them.
//!
//! ```text
//!   node.named("lobby") ── here? ── else ask every linked node ── the first that has it
//!   node.claim_name("lobby", &room) ── ask every linked node ── nobody has it: it is the room's
//!   a link comes up ── the two nodes compare their names ── the longer holder keeps a name
//! ```
//!
//! Each node is the authority on the names of its own actors, and nothing is kept of those of others. So there is no
//! owner of a name that could be lost: a name is there as long as its actor is. Who gets one and who keeps
//! one is decided in `callboard_protocol::naming`.
//!
//! | file | its job |
//! | --- | --- |
//! | `desk` | the service `callboard.names`, which every node hosts, and what is said to it |
//! | `asking` | asks every linked node, and those that are linked while it asks |
//! | `finding`, `claiming` | a lookup, a claim |
//! | `meeting` | compares the names of two nodes that are linked anew |
//! | `error`, `held` | what a claim gives |

mod asking;
mod claiming;
mod desk;
mod error;
mod finding;
mod held;
mod meeting;

pub(in crate::service) use asking::{is_node, patience};
pub(crate) use claiming::{claim, spawn};
pub(crate) use desk::{host, policy};
pub use error::ClaimError;
pub(crate) use finding::find;
pub use held::HeldName;
pub(crate) use meeting::meet_peers;

#[cfg(test)]
pub(crate) mod tests;
