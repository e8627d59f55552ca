//! Spawned actors that say where they are to be: made on the node that the load or the caller chooses.
//!
//! ```text
//!   spawn_placed ── who hosts it? ── ask two of them how loaded they are ─┐
//!   spawn_on("n2") ── does n2 host it? ───────────────────────────────────┴─ spawn (request 7)
//!                                                  ref ◄── the number of the actor ──┘
//!                                                   └── keep (request 7), in the background ──►
//! ```
//!
//! A node hosts such a type as it hosts a service, and its hello says so. The actor belongs to the node that it is on. What
//! a lost reply leaves behind is decided in `callboard_protocol::spawning`.
//!
//! | file | its job |
//! | --- | --- |
//! | `nursery` | makes the actors of a type that the node hosts |
//! | `desk` | the service `callboard.spawns`, which every node hosts, and the end of what nobody keeps |
//! | `hosts` | which nodes host a type, and what is said where one does not |
//! | `choosing` | the node for an actor, by load |
//! | `asking` | has a node make it |

mod asking;
mod choosing;
mod desk;
mod hosts;
mod nursery;

use std::pin::Pin;

use callboard_protocol::code::CallError;

pub(crate) use asking::spawn_on;
pub(crate) use choosing::spawn_placed;
pub(crate) use desk::{host, policy};
pub(crate) use nursery::host_placed;

/// An actor that is made on another node: await it for its ref. It holds nothing of the node or the client that it is of
/// but the way to others, so it can be handed to a task.
///
/// It is a type of its own, and no `async fn`, so that the compiler tells a wrong `placement` once.
pub type Spawning<R> = Pin<Box<dyn Future<Output = Result<R, CallError>> + Send>>;

#[cfg(test)]
pub(crate) mod tests;
