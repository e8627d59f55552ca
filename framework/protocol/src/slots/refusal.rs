//! Why the control group refuses a command, in words for whoever looks at it.
//!
//! A refused command changes nothing, and every voter refuses it alike. Depends on `id` and the
//! values of `slots`.

use super::SlotId;
use super::group::GroupId;
use super::member::Owner;
use super::state::{BATCH_MAX, GROUPS_MAX, MEMBERS_MAX};
use super::table::Epoch;
use crate::id::{ClusterId, DiskId, Incarnation, NodeName};

/// Why a command was refused. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no cluster yet.
    #[error("the cluster is not formed yet")]
    NotFormed,
    /// The cluster exists: an id is minted once.
    #[error("the cluster is formed, as {0}")]
    AlreadyFormed(ClusterId),
    /// A node may not join.
    #[error(transparent)]
    Join(#[from] JoinRefusal),
    /// It is not a member, or is one no more.
    #[error("{0} is not a member")]
    NotMember(Owner),
    /// It still owns slots.
    #[error("{owner} still owns {slots} slots: drain it first, or wait until its lease ends")]
    StillOwns {
        /// Who.
        owner: Owner,
        /// How many.
        slots: usize,
    },
    /// There is no such group.
    #[error("there is no placement group {0}")]
    UnknownGroup(GroupId),
    /// There is no such slot.
    #[error("there is no slot {0}")]
    UnknownSlot(SlotId),
    /// The slot has another epoch than the command was made for.
    #[error("slot {id} has epoch {found}, the command is for {expected}")]
    OtherEpoch {
        /// Which.
        id: SlotId,
        /// The epoch of the command.
        expected: Epoch,
        /// The epoch that it has.
        found: Epoch,
    },
    /// The slot does not move.
    #[error("slot {0} is not moving")]
    NotMoving(SlotId),
    /// The slot moves already.
    #[error("slot {0} is moving already")]
    AlreadyMoving(SlotId),
    /// The slot has an owner that lives.
    #[error("slot {id} is owned by {owner}, which lives")]
    OwnerLives {
        /// Which.
        id: SlotId,
        /// Who.
        owner: Owner,
    },
    /// The slot has no owner that lives.
    #[error("slot {0} has no owner that lives")]
    NoOwner(SlotId),
    /// The target may not get slots, or owns this one.
    #[error("{0} can not be given the slot")]
    BadTarget(Owner),
    /// None of the slots could be given.
    #[error("none of the slots could be given")]
    NothingToAssign,
    /// More than a command may hold.
    #[error("a command gives at most {BATCH_MAX} slots")]
    BatchTooLarge,
    /// More groups than a cluster may have.
    #[error("a cluster has at most {GROUPS_MAX} placement groups")]
    TooManyGroups,
    /// A value is out of range.
    #[error("{0} out of range")]
    OutOfRange(&'static str),
}

/// Why a node may not join. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinRefusal {
    /// It means another cluster.
    #[error(
        "node {name} belongs to cluster {theirs}, this is cluster {ours}: give it this cluster's \
         seeds and an empty data folder, or start it where it belongs"
    )]
    WrongCluster {
        /// Who.
        name: NodeName,
        /// The cluster that it means.
        theirs: ClusterId,
        /// This one.
        ours: ClusterId,
    },
    /// It speaks a version that is too old.
    #[error("node {name} speaks protocol version {speaks}, the cluster needs {needs}: update it")]
    TooOld {
        /// Who.
        name: NodeName,
        /// The newest version that it speaks.
        speaks: u32,
        /// The oldest version that is needed.
        needs: u32,
    },
    /// Two names have one id.
    #[error("the names {name} and {other} have the same id: give one of the nodes another name")]
    SameId {
        /// Who joins.
        name: NodeName,
        /// Who is a member.
        other: NodeName,
    },
    /// A later life of it, or this one, has been a member.
    #[error("node {name} joins as incarnation {given}, and has been a member as {known}")]
    StaleIncarnation {
        /// Who.
        name: NodeName,
        /// The life that joins.
        given: Incarnation,
        /// The latest that was a member.
        known: Incarnation,
    },
    /// A life of it is a member, and nothing shows that it has ended.
    #[error(
        "node {name} is a member as incarnation {living}, and nothing shows that it has ended: start \
         it with the same data folder, wait until its lease ends, or choose another name"
    )]
    StillAlive {
        /// Who.
        name: NodeName,
        /// The life that is a member.
        living: Incarnation,
    },
    /// It holds a voter's seat, and has lost the log.
    #[error(
        "node {name} holds a voter's seat with data folder {seated}, and joins with {found}: its log \
         is lost; wait until the seat went to another member, or choose another name"
    )]
    LostLog {
        /// Who.
        name: NodeName,
        /// The data directory that the seat is for.
        seated: DiskId,
        /// The data directory that it has.
        found: String,
    },
    /// There are as many members as there may be.
    #[error("the cluster has {MEMBERS_MAX} members, which is the most")]
    Full,
    /// What it says of itself is out of range.
    #[error("node {name}: {what} out of range")]
    OutOfRange {
        /// Who.
        name: NodeName,
        /// What.
        what: &'static str,
    },
}

impl JoinRefusal {
    /// Makes the refusal of a voter without its log.
    pub(super) fn lost_log(name: NodeName, seated: DiskId, found: Option<DiskId>) -> Self {
        let found = found.map_or_else(|| "none".to_owned(), |disk| disk.to_string());
        Self::LostLog {
            name,
            seated,
            found,
        }
    }
}
