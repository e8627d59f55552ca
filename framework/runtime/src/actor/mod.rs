//! Actors: bounded mailboxes, turns, supervision. The only module that names `ractor`.
//!
//! | file | its job |
//! | --- | --- |
//! | `life` | how long an incarnation lasts |
//! | `cell` | what stays of an actor across restarts: address, mailbox, fate |
//! | `house` | what there is of it besides its turns: states, and streams that are open |
//! | `mailbox` | the bounded queue |
//! | `backlog` | how long a newcomer would wait in it |
//! | `stint` | when turns let other tasks run |
//! | `turns` | readers beside each other, writers alone |
//! | `workers` | the calls of a service, beside each other |
//! | `lifecycle` | what a state does before its first turn and after its last one |
//! | `resident` | one incarnation as a ractor actor: services and spawned actors |
//! | `tenant` | one incarnation that has a task only while it has something to do: actors with keys |
//! | `incarnation` | either, as a guardian holds it |
//! | `guardian` | restarts by strategy |
//! | `surroundings` | what it needs from its node |
//! | `watcher` | its ears: the ractor actor that its children are linked to |
//! | `child` | what a guardian does with a child |
//! | `alarm` | when those without a task are looked at again |
//! | `notice` | what a guardian says in the log |
//! | `behaviour` | what all of it needs to know of the state |
//!
//! Knows nothing of calls, wires or nodes. Depends on `protocol` and `task`.

mod alarm;
mod backlog;
mod behaviour;
mod cell;
mod child;
mod guardian;
mod house;
mod incarnation;
mod life;
mod lifecycle;
mod mailbox;
mod notice;
mod resident;
mod settings;
mod stint;
mod surroundings;
mod tenant;
mod turns;
mod watcher;
mod workers;

pub use behaviour::TurnEnd;
pub(crate) use behaviour::{Behaviour, Unrun};
pub(crate) use cell::{Cell, Ended};
pub(crate) use child::Child;
pub(crate) use guardian::Guardian;
pub(crate) use house::Streams;
pub(crate) use life::{Cut, Life};
pub(crate) use mailbox::{MessageKey, Refusal};
pub(crate) use resident::Job;
pub use settings::Settings;
pub(crate) use surroundings::Surroundings;
pub(crate) use workers::places as service_places;
