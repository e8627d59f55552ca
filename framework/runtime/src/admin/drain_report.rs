//! How far a node is drained, as it is told.
//!
//! Values; they depend on nothing.

use callboard_macros::Wire;

/// How far a node is drained.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct DrainReport {
    /// The name of the node.
    pub node: String,
    /// What has become of it.
    pub outcome: DrainOutcome,
    /// What it still has to give away; nothing for a node that stays. Without a meaning once it is
    /// drained.
    pub step: Option<DrainStep>,
    /// How many slots are still its own, or on their way to it.
    pub slots: u64,
}

/// What has become of a drain that somebody has asked for.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum DrainOutcome {
    /// Nobody has asked for it by this service. The node may be draining by itself, as it is to stop.
    NotAsked,
    /// It goes on.
    Running,
    /// The node has given away all that it had, and is no member any more.
    Drained,
    /// It did not begin, for this reason. Nothing was changed.
    Refused(String),
    /// It did not come to its end within its time; this is what is left. What was given away stays
    /// away, and the node goes on with what it has.
    NotInTime(String),
}

/// What a node that is being drained has to give away. One comes after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum DrainStep {
    /// No leader has taken it in yet that the node is to go.
    Asking,
    /// The leadership of the control group, or its seat in it.
    Seat,
    /// Its slots.
    Slots,
    /// Nothing any more: it leaves the cluster.
    Leaving,
}
