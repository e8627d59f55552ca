//! Chooses who votes, for whoever runs the cluster.
//!
//! Depends on `desk` and `seats_report`; how it comes about is in `cluster`.

use std::fmt;

use callboard_macros::Wire;
use callboard_protocol::{membership, slots::Member};

use super::{desk::Desk, seats_report::VoterChoice};
use crate::cluster::{ChooseError, PlacedBy};

/// Why it is not chosen whether a node votes.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
#[non_exhaustive]
pub enum VoterError {
    /// The node that was asked is stopping. Nothing was changed.
    Stopping,
    /// There is no control group.
    NotPlaced,
    /// The node that was asked does not lead, or does so no more. In that case it is not known what has
    /// become of the choice; [`SeatsReport`](super::SeatsReport) has those that there are.
    NotLeader {
        /// The name of the node that leads, as far as is known.
        leader: Option<String>,
    },
    /// There is no such node. Nothing was changed.
    UnknownNode {
        /// The name.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// It cannot be, for this reason. Nothing was changed.
    Refused {
        /// Why, and what to do.
        why: String,
    },
}

impl Desk {
    /// Chooses that a node is to vote, that it is not, or that the cluster decides.
    pub(crate) async fn choose_voter(
        &self,
        node: String,
        choice: VoterChoice,
    ) -> Result<(), VoterError> {
        if self.ownership.placed_by() == PlacedBy::WhoAsks {
            return Err(VoterError::NotPlaced);
        }
        let wish = match choice {
            VoterChoice::Auto => None,
            VoterChoice::Add => Some(membership::VoterChoice::Wanted),
            VoterChoice::Remove => Some(membership::VoterChoice::Barred),
        };
        let chosen = self.cluster.choose(node.clone(), wish).await;
        chosen.map_err(|why| match why {
            ChooseError::NotLeader => VoterError::NotLeader {
                leader: self.cluster.status().leader.map(|it| self.name_of(it)),
            },
            ChooseError::Unknown => VoterError::UnknownNode {
                name: node,
                known: self.member_names(),
            },
            ChooseError::Refused(why) => VoterError::Refused { why },
        })
    }

    fn member_names(&self) -> Vec<String> {
        let name = |member: Member| member.name.to_string();
        let members = self.ownership.members().into_iter();
        let mut names: Vec<String> = members.map(|(member, _)| name(member)).collect();
        names.sort();
        names
    }
}

impl fmt::Display for VoterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("the node is stopping"),
            Self::NotPlaced => f.write_str("there is no control group"),
            Self::NotLeader {
                leader: Some(leader),
            } => write!(f, "the node does not lead the control group; {leader} does"),
            Self::NotLeader { leader: None } => {
                f.write_str("no node is known to lead the control group")
            }
            Self::UnknownNode { name, known } => {
                write!(
                    f,
                    "there is no node `{name}`; there are: {}",
                    known.join(", ")
                )
            }
            Self::Refused { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for VoterError {}
