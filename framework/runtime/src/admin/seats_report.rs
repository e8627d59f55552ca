//! Who has a part in the control group, as it is told.
//!
//! Values; they depend on nothing.

use callboard_macros::Wire;

/// Who has a part in the control group, as one of its members knows it.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct SeatsReport {
    /// The name of the node that says this.
    pub by: String,
    /// Whether it has a part in the control group itself. Only then does it know of the seats.
    pub seated: bool,
    /// The term that it knows.
    pub term: u64,
    /// How many entries of the log it has applied.
    pub applied: u64,
    /// The seats, in the order of the names.
    pub seats: Vec<SeatReport>,
    /// What is chosen of the voters, in the order of the names.
    pub choices: Vec<ChoiceReport>,
}

/// What is chosen for a node.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct ChoiceReport {
    /// The name of the node.
    pub node: String,
    /// What.
    pub choice: VoterChoice,
}

/// Whether a node is to vote, by the choice of whoever runs the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum VoterChoice {
    /// The cluster decides.
    Auto,
    /// It is to vote, before those for which nothing is chosen.
    Add,
    /// It is not to vote.
    Remove,
}

/// A seat in the control group. It belongs to a node and its disk.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub struct SeatReport {
    /// The name of the node; nothing if no member has the disk.
    pub node: Option<String>,
    /// The id of the disk, 16 hexadecimal digits.
    pub disk: String,
    /// Whether it votes. One that does not is sent the log, and takes a seat when it has caught up.
    pub votes: bool,
    /// Whether it leads, as far as is known.
    pub leads: bool,
    /// Whether the member that has the disk holds its lease.
    pub live: bool,
}
