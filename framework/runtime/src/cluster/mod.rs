//! Drives the control group's decisions: who owns which slot, and what this node may do by it. A client
//! has no part in them: it follows what a node knows.
//!
//! It may depend on `control`, `data_dir`, `net`, `telemetry`, `env` and `task`. Calls and actors are above it.

mod choosing;
mod draining;
mod driver;
mod fence;
mod followers;
mod following;
mod forming;
mod handle;
mod holding;
mod inbox;
mod joining;
mod leading;
mod memory;
mod mending;
mod ownership;
mod parting;
mod parts;
mod passage;
mod peers;
mod placing;
mod seat;
mod site;
mod tally;
mod telling;
mod twins;
mod unleased;
mod voting;

pub use draining::{DrainError, DrainStage, Draining};
pub use fence::Fence;
pub use ownership::{Ownership, PlacedBy};
pub use placing::{Placing, group_of};

pub(crate) use choosing::ChooseError;
pub(crate) use following::follow;
pub(crate) use handle::Cluster;
#[doc(hidden)]
pub use handle::Position;
pub(crate) use inbox::Inbox;
pub(crate) use memory::{
    CONTROL_FOLDER, MEMORY_FILE, control_folder, read_memory, recovered_folder, write_memory,
};
pub(crate) use parts::{About, Data, Parts};
pub(crate) use passage::Passage;
pub(crate) use site::Site;
pub(crate) use tally::Tally;
