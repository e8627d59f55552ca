//! Calls: refs, the caller's and the host's side, streams, deadlines.
//!
//! ```text
//!  GreeterRef ── Call ── route ──┬─ local ───────────────────────────┐
//!                                └─ remote ── Link ~~~ Link ── server ┴─ mailbox ── turn ── port
//! ```
//!
//! | file | its job |
//! | --- | --- |
//! | `interface` | the traits that the macros implement for what can be called |
//! | `kind` | services, spawned and keyed actors, told apart by the compiler |
//! | `reference` | refs |
//! | `client` | a call: plan, attempts, deadline |
//! | `awaited` | what to say of a call that was not awaited |
//! | `mistake` | what stands for other mistakes |
//! | `route` | where an attempt goes |
//! | `local`, `remote` | one attempt |
//! | `direct` | the short way of most calls of a peer: no attempts |
//! | `outgoing`, `settle` | the frame of a call, and what is left to do for what came back |
//! | `server`, `dispatch`, `arrival` | frames to messages, replies to frames |
//! | `frame`, `coming`, `envelope`, `port`, `stream` | calls on their way in: what they are for, arguments, the way back, streams |
//! | `inflow`, `room` | what comes on streams of its own, and the room for it |
//! | `hub`, `session`, `face` | what a node, a link and an interface keep for all calls |
//! | `groups` | what a node looks after when it drains and stops |
//! | `withdrawal` | what a node hosts no more |
//! | `key_text`, `in_memory` | keys from text; what is in memory for a key |
//! | `named` | the names of this node's spawned actors |
//! | `spawned` | actors that were made here because they were placed here, and how loaded the node is |
//! | `names` | nodes that were met, as errors tell of them |
//! | `pending`, `served`, `streams`, `hold`, `turnstile` | tables and queues of a session |
//! | `handover`, `forward`, `seen` | what goes along with a slot that moves, and when nothing comes after it |
//! | `scope` | what a turn hands on to the calls it makes |
//! | `deadline`, `watch`, `codec`, `limits`, `meta` | what the names say |
//!
//! Knows nothing of how states are made or restarted. Depends on `net`, `actor`, `telemetry`,
//! `env` and `protocol`.

mod adrift;
mod advice;
mod arrival;
mod attempts;
mod awaited;
mod client;
mod codec;
mod coming;
mod deadline;
mod direct;
mod dispatch;
mod envelope;
mod face;
mod forward;
mod frame;
mod groups;
mod handover;
mod hold;
mod hub;
mod in_memory;
mod inflow;
mod interface;
mod key_text;
pub mod kind;
mod limits;
mod local;
mod meta;
mod mistake;
mod named;
mod names;
mod outgoing;
mod panics;
mod pending;
mod placed;
mod port;
mod reference;
mod remote;
mod room;
mod route;
mod scope;
mod seen;
mod served;
mod server;
mod session;
mod sessions;
mod settle;
mod spawned;
mod stream;
mod streams;
mod term;
mod turnstile;
mod watch;
mod withdrawal;

pub(crate) use arrival::Arrival;
pub(crate) use attempts::span;
pub use client::{Call, call, call_streaming};
pub(crate) use codec::{decode_key, key_bytes};
pub(crate) use coming::{Coming, Lost, Unaccepted};
pub use envelope::{Envelope, Incoming};
pub(crate) use face::{Face, FaceMethod};
pub(crate) use forward::{Kept, Unsent, ask_back};
pub use handover::Handover;
pub(crate) use handover::{Departing, Departure, NO_ROOM, SENDS_BYTES_MAX};
pub(crate) use hub::{Hub, Me};
pub(crate) use in_memory::InMemory;
pub(crate) use interface::interface_id;
pub use interface::{
    Answer, Declares, Definition, Fallible, Interface, Key, Method, MethodSignature, MethodSpec,
    NoKey, Options, Reference, Streamed, Unary, flatten, shapes_of,
};
pub(crate) use key_text::key_of_text;
pub use kind::Kind;
pub use limits::{CallLimits, Eviction};
pub(crate) use local::{quarantined, refused};
pub use meta::Caller;
pub(crate) use meta::{Meta, Queued};
pub use mistake::{NamedByItself, Offers, Refused};
pub(crate) use named::Begun;
pub use named::{NameHolder, NameLost};
pub(crate) use placed::{end_lives, fence, lacks, movable};
pub(crate) use port::panic_text;
pub use port::{finish, finish_stream, race, race_abort, race_abort_stream, race_stream};
pub(crate) use reference::Address;
pub use reference::Ref;
pub(crate) use route::nobody_hosts;
pub(crate) use scope::{Chain, Turn};
pub(crate) use seen::tell_seen;
pub(crate) use server::{Directory, Gate, Hosted, Keys, Nursery, Supervised};
pub(crate) use spawned::{Asker, SPAWN_REQUESTS_MAX};
pub use stream::{Inbound, StreamOf, Streaming};
pub use watch::{Down, watch};

pub(crate) use session::Session;

#[cfg(test)]
mod tests;

mod sealed {
    /// Keeps `Shape` to the two that there are, and `Addressing` to its five.
    pub trait Sealed {}

    impl Sealed for super::kind::IsService {}
    impl Sealed for super::kind::IsSpawned {}
    impl Sealed for super::kind::IsKeyed {}
    impl Sealed for super::kind::IsLeastLoaded {}
    impl Sealed for super::kind::IsPinned {}
    impl Sealed for super::Unary {}
    impl Sealed for super::Streamed {}
}
