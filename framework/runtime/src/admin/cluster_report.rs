//! What a node knows of its cluster, as it is told.
//!
//! Values; they depend on nothing.

use callboard_macros::Wire;

/// What a node knows of its cluster. It follows the control group, and may be a little behind.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct ClusterReport {
    /// The name of the node that says this.
    pub by: String,
    /// The name of the cluster, as certificates say it.
    pub cluster: String,
    /// The id of the cluster, 32 hexadecimal digits; nothing while it is not formed.
    pub cluster_id: Option<String>,
    /// Who decides where keys are.
    pub placement: Placement,
    /// The version of the control group's state that the node knows; 0 while it knows none. The higher
    /// of two is the newer.
    pub version: u64,
    /// The name, or the id, of the node that leads the control group, as far as is known.
    pub leader: Option<String>,
    /// How long the node's own lease lasts, in milliseconds. While it has one it has heard of the leader
    /// no longer ago than a lease lasts; without one, what it says may be old.
    pub lease_left_ms: Option<u64>,
    /// The members, in the order of their names. Without a control group: the node and those that it is
    /// linked with.
    pub members: Vec<MemberReport>,
    /// The types of actors that have slots, in the order of their names.
    pub types: Vec<TypeReport>,
}

/// Who decides where keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum Placement {
    /// The node does not know it yet.
    Unknown,
    /// There is no control group: an actor is on the node that is asked for it.
    WhoAsks,
    /// The control group, or the one that is to be formed.
    Group,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct MemberReport {
    /// Its name.
    pub name: String,
    /// Which of its lives it is in.
    pub incarnation: u64,
    /// Where it listens.
    pub addr: String,
    /// How it stands.
    pub state: MemberState,
    /// Whether the node that says this is linked with it, or is it.
    pub linked: bool,
    /// How many slots it owns, of all types.
    pub slots: u64,
    /// The names of the actor types that it hosts, or their numbers.
    pub hosts: Vec<String>,
}

/// How a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum MemberState {
    /// It is there.
    Live,
    /// It is there, and gives away what it has.
    Draining,
    /// Its lease has ended; it has to join again.
    Lapsed,
}

/// A type of actors, whose keys are in slots.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct TypeReport {
    /// Its name, or its number where the node has met nobody that knows the name.
    pub name: String,
    /// How many slots it has.
    pub slots: u64,
    /// How many of them are on their way from one node to another.
    pub moving: u64,
    /// How many of them no live member owns.
    pub unowned: u64,
    /// The names of the live members that host it.
    pub hosts: Vec<String>,
}
