//! Why a slot is where it is, for whoever asks.
//!
//! Reads a view, which may be a little behind, by the rules that the plan goes by. Depends on `plan`
//! and `score`.

use super::plan::{Share, Shares};
use super::score::score;
use crate::slots::{Entry, Group, Ineligible, Member, Owner, SlotId, Standing, Table, View};

/// Why a slot is where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// Who owns it, and where it is going.
    pub entry: Entry,
    /// The reason.
    pub reason: Reason,
    /// The members: those that may own it, in the order in which the slot likes them, then the others.
    pub candidates: Vec<Candidate>,
}

/// The reason why a slot is where it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It is on its way to another member.
    Moving,
    /// No member may own it.
    NobodyEligible,
    /// Nobody has owned it yet: the leader is about to assign it.
    NeverOwned,
    /// The lease of the last owner has ended, or it has left: the leader is about to assign it.
    OwnerLost,
    /// The owner must not have it any more, and is about to give it away.
    OwnerLeaves(Ineligible),
    /// The owner is the member that the slot likes best.
    FirstChoice,
    /// Those that it likes better have their shares of the slots.
    OthersFull,
    /// One that it likes better has less than its share, and does not get this slot: the state of
    /// the type would not outlive the move.
    Stays,
    /// One that it likes better has less than its share: this slot or another one will be moved.
    OutOfBalance,
}

/// A member that might own a slot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Which.
    pub owner: Owner,
    /// Why it must not own it; nothing if it may.
    pub why_not: Option<Ineligible>,
    /// How many slots of the group it owns, or will when what is on its way has arrived.
    pub load: usize,
    /// Its share of the group's slots, rounded down and up; 0 for one that may own none.
    pub share: (usize, usize),
}

impl Why {
    /// Finds the reason for a slot; nothing for a group or a slot that the view does not know.
    #[must_use]
    pub fn of(view: &View, id: SlotId) -> Option<Self> {
        let entry = *view.entry(id)?;
        let (group, table) = view.groups().find(|(group, _)| group.id == id.group)?;
        let members: Vec<_> = view.members().collect();
        let shares = Shares::of(&members, view.slots(), group, table);
        let liking = |it: &Share| score(id, it.owner.node, it.weight);
        let mut eligible: Vec<&Share> = shares.members.values().collect();
        eligible.sort_by(|a, b| liking(b).total_cmp(&liking(a)));
        let live = |owner: &Owner| {
            let lives = |(it, standing): &(&Member, Standing)| {
                it.owner() == *owner && *standing != Standing::Lapsed
            };
            members.iter().any(lives)
        };
        let reason = match entry.owner {
            Some(owner) if live(&owner) && entry.moving.is_some() => Reason::Moving,
            Some(owner) if live(&owner) => of_owner(owner, &eligible, &members, group)?,
            _ if eligible.is_empty() => Reason::NobodyEligible,
            Some(_) => Reason::OwnerLost,
            None => Reason::NeverOwned,
        };
        Some(Self {
            entry,
            reason,
            candidates: candidates(&eligible, &members, group, table),
        })
    }
}

/// Returns why a slot is with a member that lives; nothing for one that there is not.
fn of_owner(
    owner: Owner,
    eligible: &[&Share],
    members: &[(&Member, Standing)],
    group: &Group,
) -> Option<Reason> {
    let Some(at) = eligible.iter().position(|it| it.owner == owner) else {
        let mut lives = members.iter().filter(|(it, _)| it.owner() == owner);
        let (member, standing) = lives.next()?;
        return group
            .why_not_now(member, *standing)
            .map(Reason::OwnerLeaves);
    };
    let (better, own) = (&eligible[..at], &eligible[at]);
    let misses: Vec<_> = better.iter().filter(|it| it.load < it.least).collect();
    Some(match &misses[..] {
        [] if better.is_empty() => Reason::FirstChoice,
        [] => Reason::OthersFull,
        some if own.movable && some.iter().any(|it| it.movable) => Reason::OutOfBalance,
        _ => Reason::Stays,
    })
}

fn candidates(
    eligible: &[&Share],
    members: &[(&Member, Standing)],
    group: &Group,
    table: &Table,
) -> Vec<Candidate> {
    let may = eligible.iter().map(|it| Candidate {
        owner: it.owner,
        why_not: None,
        load: it.load,
        share: (it.least, it.most),
    });
    let others = members.iter().filter_map(|(member, standing)| {
        let owner = member.owner();
        let owned = table.iter().filter(|(_, it)| it.owner == Some(owner));
        Some(Candidate {
            owner,
            why_not: Some(group.why_not_now(member, *standing)?),
            load: owned.count(),
            share: (0, 0),
        })
    });
    may.chain(others).collect()
}

#[cfg(test)]
mod tests;
