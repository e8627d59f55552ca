//! Which members somebody has chosen to vote, or not to.
//!
//! A choice is a wish that is kept in the state, so that every leader goes by it. It is about a node,
//! in all its lives, and is forgotten when the node leaves for good. What is made of it is decided in
//! `membership`. Depends on `state` and `record`.

use std::collections::BTreeMap;

use super::command::Event;
use super::member::Owner;
use super::record::{Field, Fields, RecordError, Writer};
use super::refusal::Refusal;
use super::state::State;
use crate::id::NodeId;
use crate::membership::VoterChoice;

/// What is chosen, by node.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Choices(BTreeMap<NodeId, VoterChoice>);

impl Choices {
    /// Returns what is chosen for a node, if anything is.
    #[must_use]
    pub fn of(&self, node: NodeId) -> Option<VoterChoice> {
        self.0.get(&node).copied()
    }

    /// Returns what is chosen, in the order of the nodes' ids.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, VoterChoice)> {
        self.0.iter().map(|(node, choice)| (*node, *choice))
    }

    pub(super) fn write(&self, out: &mut Writer) {
        for (node, choice) in &self.0 {
            out.record(1, |record| {
                record.number(1, node.0);
                record.number(2, choice_number(*choice));
            });
        }
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Result<Self, RecordError> {
        let mut choices = Self::default();
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => {
                    let (node, choice) = read_one(fields.within("choice", field))?;
                    choices.0.insert(node, choice);
                }
                _ => fields.unknown(field)?,
            }
        }
        Ok(choices)
    }
}

impl State {
    /// Returns what is chosen of the voters, once somebody has chosen anything. From then on a node whose
    /// version does not know of choices cannot read the state.
    #[must_use]
    pub const fn choices(&self) -> Option<&Choices> {
        self.choices.as_ref()
    }

    pub(super) fn choose(
        &mut self,
        of: Owner,
        choice: Option<VoterChoice>,
    ) -> Result<Vec<Event>, Refusal> {
        let member = self.members.get(&of.node);
        if member.is_none_or(|it| it.member.incarnation != of.incarnation) {
            return Err(Refusal::NotMember(of));
        }
        let choices = self.choices.get_or_insert_default();
        match choice {
            Some(choice) => choices.0.insert(of.node, choice),
            None => choices.0.remove(&of.node),
        };
        Ok(vec![Event::Chosen(of)])
    }

    /// The node is gone for good.
    pub(super) fn forget_choice(&mut self, node: NodeId) {
        if let Some(choices) = &mut self.choices {
            choices.0.remove(&node);
        }
    }

    /// Whether there is a choice for members alone: so there are no more than members.
    pub(super) fn are_choices_of_members(&self) -> bool {
        let mut nodes = self.choices.iter().flat_map(|it| it.0.keys());
        nodes.all(|node| self.members.contains_key(node))
    }
}

fn read_one(mut fields: Fields<'_>) -> Result<(NodeId, VoterChoice), RecordError> {
    let (mut node, mut choice) = (None, None);
    while let Some(field) = fields.next()? {
        match field.tag {
            1 => node = Some(NodeId(field.number()?)),
            2 => choice = Some(read_choice(field)?),
            _ => fields.unknown(field)?,
        }
    }
    let node = fields.require(node, "node")?;
    Ok((node, fields.require(choice, "choice")?))
}

pub(super) fn choice_number(choice: VoterChoice) -> u64 {
    match choice {
        VoterChoice::Wanted => 1,
        VoterChoice::Barred => 2,
    }
}

pub(super) fn read_choice(field: Field<'_>) -> Result<VoterChoice, RecordError> {
    match field.number()? {
        1 => Ok(VoterChoice::Wanted),
        2 => Ok(VoterChoice::Barred),
        _ => Err(field.out_of_range("choice")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClusterId, DiskId, Incarnation};
    use crate::slots::Command;
    use crate::slots::samples::{cluster, join, member, owner};

    fn choose(state: &mut State, node: u64, choice: Option<VoterChoice>) {
        let of = owner(node);
        let events = state.apply(&Command::Choose { of, choice });
        assert_eq!(events, Ok(vec![Event::Chosen(of)]));
    }

    fn chosen(state: &State, node: u64) -> Option<VoterChoice> {
        state.choices()?.of(owner(node).node)
    }

    #[test]
    fn a_choice_stays_for_the_next_life_of_a_node_and_ends_when_it_leaves() {
        let mut state = cluster(2, 8);
        choose(&mut state, 2, Some(VoterChoice::Barred));
        state.apply(&Command::Lapse(owner(2))).expect("live");
        let mut next = member(2);
        next.incarnation = Incarnation(2);
        state.apply(&join(next.clone(), Some(1))).expect("its heir");
        assert_eq!(chosen(&state, 2), Some(VoterChoice::Barred));
        // What was meant for the life before comes too late.
        let late = Command::Choose {
            of: owner(2),
            choice: None,
        };
        assert_eq!(state.apply(&late), Err(Refusal::NotMember(owner(2))));
        state
            .apply(&Command::Leave(next.owner()))
            .expect("owns nothing");
        assert_eq!(chosen(&state, 2), None);
        let of = owner(3);
        let choice = Some(VoterChoice::Wanted);
        let unknown = state.apply(&Command::Choose { of, choice });
        assert_eq!(unknown, Err(Refusal::NotMember(of)));
    }

    #[test]
    fn the_last_choice_counts_and_nothing_may_be_chosen_again() {
        let mut state = cluster(2, 8);
        choose(&mut state, 1, Some(VoterChoice::Barred));
        choose(&mut state, 1, Some(VoterChoice::Wanted));
        assert_eq!(chosen(&state, 1), Some(VoterChoice::Wanted));
        choose(&mut state, 1, None);
        assert_eq!(state.choices(), Some(&Choices::default()));
    }

    #[test]
    fn a_recovered_cluster_has_no_choices() {
        let mut state = cluster(2, 8);
        choose(&mut state, 1, Some(VoterChoice::Barred));
        let state = state.recovered(ClusterId(9), owner(1).node, DiskId(9));
        let state = state.expect("formed");
        assert_eq!(state.choices(), Some(&Choices::default()));
    }

    #[test]
    fn a_state_is_written_as_before_there_were_choices_until_one_is_made() {
        // Golden: it is in the snapshots of clusters that run.
        let mut state = cluster(1, 8);
        let before = state.encode();
        choose(&mut state, 1, Some(VoterChoice::Wanted));
        let after = state.encode();
        let node = [0x94, 0xb7, 0xd2, 0xa5, 0xdd, 0xcd, 0xe8, 0x99, 0xd7, 1];
        let added = [&[11, 17, 1, 15, 1, 10][..], &node, &[2, 1, 1]].concat();
        assert_eq!(after.len(), before.len() + added.len());
        assert!(after[..after.len() - 8].ends_with(&added), "{after:x?}");
        assert_eq!(State::decode(&after), Ok(state.clone()));
        choose(&mut state, 1, None);
        assert_eq!(State::decode(&state.encode()), Ok(state));
    }

    #[test]
    fn a_choice_for_one_that_is_no_member_is_refused_by_who_reads_it() {
        let mut state = cluster(2, 8);
        choose(&mut state, 2, Some(VoterChoice::Wanted));
        state.members.remove(&owner(2).node);
        State::decode(&state.encode()).expect_err("nobody has it");
        let mut state = cluster(2, 8);
        state.choices = Some(Choices::default());
        assert_eq!(State::decode(&state.encode()), Ok(state));
    }
}
