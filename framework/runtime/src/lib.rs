//! Callboard: services as location-transparent actors that message each other over QUIC.
//!
//! A service is an ordinary struct with methods; callers hold a small typed ref and call its methods,
//! and the same line works whether the actor is in this process or on another node. Nodes talk over
//! QUIC with mutual TLS; there is no plaintext mode.
//!
//! Start with [`prelude`]; [`Node::builder`] makes a node, [`Client::connect`] calls in without
//! hosting.

extern crate self as callboard;

mod actor;
pub mod admin;
mod call;
mod client;
pub mod cluster;
pub mod control;
pub mod danger;
mod data_dir;
mod derived;
mod ending;
pub mod env;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod guess;
pub mod net;
mod node;
mod service;
mod settings;
mod task;
mod telemetry;
mod usage;

pub use actor::Settings;
pub use call::kind;
pub use call::{
    Call, CallLimits, Caller, Definition, Down, Eviction, Inbound, Key, NameHolder, NameLost,
    NoKey, Reference, StreamOf, Streaming, watch,
};
pub use callboard_macros::{Actor, Service, Wire, contract, handler, handlers};
pub use callboard_protocol::{
    code::{CallError, Code, Fault, HandlerError, ImplementsError, Ran, Retry},
    id::{ActorAddr, ClusterId, ClusterName, Incarnation, NodeId, NodeName, RoleName},
    membership::Profile,
    rights::{Policy, Roles},
    supervision::Strategy,
    wire::{Limits, Wire, header::DownReason},
};
pub use client::{Client, ClientBuilder};
pub use cluster::{DrainError, DrainStage, Draining};
pub use node::{Builder, Member, Node};
pub use service::{ClaimError, Ctx, Deactivation, Handlers, HeldName, Spawning, Supervisor};
#[doc(hidden)]
pub use usage::Held;

/// What most programs need: the macros, their traits, nodes and clients, who they are and what they allow, and what
/// goes wrong. The rest has one path each, such as [`net::Authority`].
pub mod prelude {
    pub use callboard_macros::{actor, service};
    pub use futures_core::Stream;

    pub use crate::{
        Actor, CallError, Client, Code, Ctx, HandlerError, Inbound, Node, Policy, Reference,
        Service, Strategy, Streaming, Wire, contract,
        guess::SetTooLate as _,
        handler, handlers,
        net::{Identity, StartError},
    };
}

/// What the macros' code names. Not for use by hand; it may change in any version.
#[doc(hidden)]
pub mod __private {
    pub use callboard_protocol::{
        code::{CallError, HandlerError},
        wire::{Shape as WireShape, Wire},
    };
    pub use futures_core::Stream;
    pub use serde;

    pub use crate::{
        actor::{Settings, TurnEnd},
        call::{
            Answer, Call, Declares, Definition, Envelope, Fallible, Handover, Inbound, Incoming,
            Interface, Key, Kind, Method, MethodSignature, MethodSpec, NamedByItself, NoKey,
            Offers, Options, Ref, Reference, Refused, StreamOf, Streamed, Streaming, Unary, call,
            call_streaming, finish, finish_stream, flatten, race, race_abort, race_abort_stream,
            race_stream, shapes_of,
        },
        derived::{Field, Names, field},
        guess::HostedByItself,
        kind::{IsKeyed, IsLeastLoaded, IsPinned, IsService, IsSpawned, Placeable},
        service::{
            Ctx, Deactivation, Handlers,
            hooks::{Activated, Told, activated},
            state::{
                Answered, CB0070PutAllHandlersOfATypeIntoOneImpl, Checked, DerivesActor, GoesBy,
                IsActor, MayMove, OneKind, Otherwise, Probe, asserted,
            },
        },
    };

    /// Returns a duration of whole milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> std::time::Duration {
        std::time::Duration::from_millis(millis)
    }
}
