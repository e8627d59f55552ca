//! Where an actor is, and why, as it is told.
//!
//! Values; they depend on nothing.

use callboard_macros::Wire;

/// Which keyed actor.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub struct ActorName {
    /// The name of its type.
    pub kind: String,
    /// Its key.
    pub key: KeyName,
}

/// A key, as whoever asks has it.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum KeyName {
    /// As somebody writes it. Only a node that hosts the type can read it.
    Text(String),
    /// In the encoding of the wire.
    Bytes(Vec<u8>),
}

/// Where an actor is placed, and why, as a node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct PlaceReport {
    /// The name of the node that says this.
    pub by: String,
    /// The version of the control group's state that it knows.
    pub version: u64,
    /// How long its own lease lasts, in milliseconds; see [`ClusterReport`](super::ClusterReport).
    pub lease_left_ms: Option<u64>,
    /// The key in the encoding of the wire.
    pub key: Vec<u8>,
    /// The slot of the key, from 0.
    pub slot: u32,
    /// How many slots the type has.
    pub slots: u64,
    /// The number of the slot's ownership; 0 before the first owner.
    pub epoch: u64,
    /// Who owns the slot, or has owned it last.
    pub owner: Option<String>,
    /// Where the slot is going.
    pub moving_to: Option<String>,
    /// Why it is where it is.
    pub reason: PlaceReason,
    /// The members: those that may own the slot, in the order in which it likes them, then the others.
    pub candidates: Vec<CandidateReport>,
}

/// Why a slot is where it is.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum PlaceReason {
    /// It is on its way.
    Moving,
    /// No member may own it.
    NobodyEligible,
    /// Nobody has owned it yet; it is about to be assigned.
    NeverOwned,
    /// The lease of its owner has ended; it is about to be assigned.
    OwnerLost,
    /// The owner must not have it any more, for this reason, and gives it away.
    OwnerLeaves(String),
    /// The owner is the member that it likes best.
    FirstChoice,
    /// Those that it likes better have their shares.
    OthersFull,
    /// One that it likes better has less than its share, but the state of the type would not outlive
    /// the move.
    Stays,
    /// One that it likes better has less than its share; slots will be moved.
    OutOfBalance,
}

/// A member that might own a slot.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct CandidateReport {
    /// Its name.
    pub node: String,
    /// Why it must not own it; nothing if it may.
    pub why_not: Option<String>,
    /// How many slots of the type it owns, or will when what is on its way has arrived.
    pub slots: u64,
    /// Its share of the type's slots, rounded down.
    pub share_min: u64,
    /// Its share of the type's slots, rounded up.
    pub share_max: u64,
}

/// What a node has of an actor.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct ActorReport {
    /// The name of the node that says this.
    pub by: String,
    /// How the actor is on it.
    pub state: ActorState,
    /// How many messages wait for it.
    pub waiting: u64,
    /// How many may wait.
    pub waiting_max: u64,
    /// The epoch that its turns are bound to, where keys are placed.
    pub epoch: Option<u64>,
}

/// How an actor is on a node.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum ActorState {
    /// It is not in memory; its next call activates it.
    Inactive,
    /// It is in memory.
    Active,
    /// It is being stopped.
    Stopping,
    /// It has failed, for this reason, and is not restarted while its quarantine lasts.
    Quarantined(String),
}
