//! The control group: one replicated log over the state that says who owns what.
//!
//! A [`Group`] is one member of it: a state machine in front of the Raft library, with its log and
//! snapshots on the node's disk. Whoever drives it hands in ticks and messages, then calls
//! [`Group::flush`], and carries out the actions that come of it. One flush writes all that was
//! handed in since the last one, with one sync, and nothing leaves before it. It owns no task, no
//! clock and no socket, so that many groups run in one thread under virtual time.
//!
//! ```text
//!  ticks, messages, proposals, reads           actions: messages, outcomes, reads
//!        │                                                  ▲
//!        ▼                                                  │ AFTER the sync
//!      Group ── flush ──▶ one frame of the log ── sync ─────┤
//!        │                                                  │
//!        └── committed entries ──▶ slots::State ────────────┘
//! ```
//!
//! The id of a member is that of its disk. A node that has lost its disk comes back as another
//! member, which nobody counts, so a lost log never votes. The library's types and encodings stay
//! inside of this module: messages and files have an encoding of ours. It does not decide who
//! should vote, when a cluster is formed, or when a lease ends: that is `membership` in the
//! protocol. It may depend on `env`, the protocol, and the crates `raft`, `slog` and `xxhash_rust`.

mod bytes;
mod config;
mod disk;
mod error;
mod frames;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod group;
mod memory;
mod message;
mod record;
mod salvage;
mod timeout;

pub use config::Config;
pub(crate) use disk::{copy, remove};
pub use error::{Error, MessageError, Refused};
pub use group::{Action, Group, Proposal};
pub use message::MESSAGE_BYTES_MAX;
pub use record::{Change, ENTRY_BYTES_MAX};
pub(crate) use salvage::Salvage;

#[cfg(test)]
pub(crate) mod tests;
