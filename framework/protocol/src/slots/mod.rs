//! Slots: who owns which keys, and how a slot goes from one node to another.
//!
//! The control group keeps a [`State`]: the members, and a table of slots for every placement
//! group. It changes by [`Command`]s only, which every voter applies in the same order with the
//! same result; the same bytes of a command or a snapshot mean the same to every version. Nodes and
//! clients hold a [`View`] of it, which follows by [`Delta`]s. A slot moves in steps, each of which
//! is safe by itself: see [`Mover`] for the leader, [`Handoff`] for the old owner, [`Arrivals`] for
//! the new one. Which slot should go where is the business of `placement`. This module knows no
//! Raft, no messages on the wire and no actors. It may depend on `id`, `time`, `plant`, `membership`, and the
//! reader of `wire`.
//!
//! ```text
//!             Assign                 Move                    Stopped
//!  no owner ────────▶ owned (A, e) ────────▶ moving (A→B, e) ────────▶ owned (B, e+1)
//!                       ▲      │                │       │
//!                       │      │ A's lease ends │ Abort │ Abort: B is lost, or a turn does not end
//!                       │      ▼                ▼       ▼
//!                       └── Assign: e+1    A is gone: owned (B, e+1); else owned (A, e+1)
//! ```
//!
//! The pattern is that of Akka's and Pekko's cluster sharding (a shard is stopped on one side
//! before it starts on the other, and what arrives meanwhile is buffered); what is added is the
//! epoch, and that nothing is handed on without the stop's acknowledgement or the end of a lease.

mod arrivals;
mod choices;
mod command;
mod delta;
mod group;
mod handoff;
mod key;
mod lack;
mod member;
mod mover;
mod record;
mod recovery;
mod refusal;
mod snapshot;
mod state;
mod stored;
mod table;

pub use arrivals::{Arrivals, ArrivalsAction, Parked};
pub use choices::Choices;
pub use command::{Command, Event, Settings};
pub use delta::{Delta, DeltaError, View};
pub use group::{Group, GroupId, Ineligible, TYPES_MAX};
pub use handoff::{FORWARDED_MAX, Handoff, HandoffAction, Outcome, SequenceNumber};
pub use key::{SLOTS_MAX, Slot, SlotCount, SlotCountError};
pub use lack::{Lack, ZONES_MAX};
pub use member::{HOSTS_MAX, LABELS_MAX, Member, Owner, TEXT_BYTES_MAX, WEIGHT_MAX};
pub use mover::{Mover, PlannedMove};
pub use record::RecordError;
pub use recovery::EPOCH_LEAP;
pub use refusal::{JoinRefusal, Refusal};
pub use snapshot::{Assembly, CHUNK_BYTES_MAX, Chunk, ChunkError, SNAPSHOT_BYTES_MAX, chunks};
pub use state::{BATCH_MAX, GROUPS_MAX, MEMBERS_MAX, Standing, State};
pub use table::{Entry, Epoch, Table, Version};

/// The slot of a group: what is owned and moved.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
pub struct SlotId {
    /// The group.
    pub group: GroupId,
    /// The slot in it.
    pub slot: Slot,
}

impl std::fmt::Display for SlotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.group, self.slot)
    }
}

#[cfg(test)]
pub(crate) mod samples;
