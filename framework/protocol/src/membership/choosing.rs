//! Whether somebody may choose that a node votes, or does not.
//!
//! A choice is a wish that the plan of the voters goes by, and not a change of the seats: it is
//! refused where the plan could not carry it out, or where carrying it out would leave fewer voters
//! than the size of the cluster asks for. Does not change anything itself. Depends on `voters`.

use std::time::Duration;

use super::voters::{View, VoterCandidate, VoterChoice, quorum};
use crate::id::NodeId;
use crate::time::Time;

/// Why a choice is refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ChoiceRefusal {
    /// It is no member.
    Unknown,
    /// It votes already.
    AlreadyVoter,
    /// It does not vote, and is not about to.
    NotVoter,
    /// Nothing is chosen for it.
    NotChosen,
    /// It may not have a seat: it has no disk, or is being drained.
    NotEligible,
    /// It is gone.
    Gone,
    /// All seats that there can be are chosen.
    AllChosen {
        /// How many there can be.
        seats: usize,
    },
    /// It is the only voter, and nobody could take its seat.
    LastVoter,
    /// Nobody could take its seat, and there would be fewer voters than the size asks for.
    NoSuccessor,
    /// Of the voters that are left too few would be there.
    NoQuorum {
        /// How many would be there.
        there: usize,
        /// How many would be left.
        voters: usize,
    },
}

/// Returns whether it may be chosen for `node` that it votes, that it does not, or nothing any more.
///
/// To choose the same again is allowed while it is not carried out: the first answer may be lost.
///
/// # Errors
///
/// [`ChoiceRefusal`].
pub fn check_choice(
    candidates: &[VoterCandidate],
    node: NodeId,
    choice: Option<VoterChoice>,
    gone_max: Duration,
    now: Time,
) -> Result<(), ChoiceRefusal> {
    let mut chosen = candidates.to_vec();
    let of_node = chosen.iter_mut().find(|it| it.node == node);
    let of_node = of_node.ok_or(ChoiceRefusal::Unknown)?;
    let before = of_node.clone();
    of_node.choice = choice;
    let after = View::of(&chosen, gone_max, now);
    match choice {
        None if before.choice.is_none() => Err(ChoiceRefusal::NotChosen),
        None => Ok(()),
        Some(VoterChoice::Wanted) => check_wanted(&before, &after),
        Some(VoterChoice::Barred) => check_barred(&before, &after),
    }
}

fn check_wanted(before: &VoterCandidate, after: &View<'_>) -> Result<(), ChoiceRefusal> {
    if before.is_voter() && before.choice != Some(VoterChoice::Barred) {
        return Err(ChoiceRefusal::AlreadyVoter);
    }
    if !before.eligible {
        return Err(ChoiceRefusal::NotEligible);
    }
    if before.gone_since.is_some() {
        return Err(ChoiceRefusal::Gone);
    }
    let seats = after.wanted();
    match after.chosen() > seats {
        true => Err(ChoiceRefusal::AllChosen { seats }),
        false => Ok(()),
    }
}

fn check_barred(before: &VoterCandidate, after: &View<'_>) -> Result<(), ChoiceRefusal> {
    if !before.is_voter() {
        let is_about_to = before.is_learner() || before.choice == Some(VoterChoice::Wanted);
        return match is_about_to {
            true => Ok(()),
            false => Err(ChoiceRefusal::NotVoter),
        };
    }
    let voters = || after.voters.iter().filter(|it| it.node != before.node);
    let (mut left, mut there) = (voters().count(), 0);
    there += voters().filter(|it| it.gone_since.is_none()).count();
    if left < after.wanted() {
        // Its seat goes to another one first, and then it has none.
        if !after.has_free() {
            return Err(match left {
                0 => ChoiceRefusal::LastVoter,
                _ => ChoiceRefusal::NoSuccessor,
            });
        }
        (left, there) = (left + 1, there + 1);
    }
    if after.wanted() < after.by_size() {
        return Err(ChoiceRefusal::NoSuccessor);
    }
    match there < quorum(left) {
        true => Err(ChoiceRefusal::NoQuorum {
            there,
            voters: left,
        }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests;
