//! Names of spawned actors: who has one, who gets it, and who keeps it when two have it.
//!
//! ```text
//!   begin ──> asking ──settle──> held ──remove──> free
//!               │                  │
//!               └ outbid by a node └ lost to an actor that has held it for longer
//!                 of a lower id      (`meet`, `give_up`)
//! ```
//!
//! Each node has one [`Register`], of the names of its own actors, and is the only authority on these. Who
//! wants a name asks all nodes that it is linked with, as in Ricart and Agrawala's mutual exclusion
//! (<https://doi.org/10.1145/358527.358537>): each says whether it has the name, or wants it itself. Nodes that were
//! not linked may have given one name twice; when a link comes up they compare, see [`Register::meet`]. It
//! sends nothing and knows no links. Depends on `id` and `time`.

mod register;

pub use register::{Claim, Meeting, NAME_BYTES_MAX, Register, Unclaimed, check_name};
