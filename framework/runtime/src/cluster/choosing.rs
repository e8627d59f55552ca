//! Who is chosen to vote: what whoever runs the cluster wishes, until it is in the state.
//!
//! The leader alone takes a wish, looks whether it could be carried out, and has the group agree on it.
//! Carrying it out is the business of `voting`. Depends on `driver` and `leading`.

use std::{collections::BTreeMap, mem};

use callboard_protocol::{
    id::NodeId,
    membership::{ChoiceRefusal, Seated, VoterCandidate, VoterChoice, check_choice},
    slots::{Command, Event, Owner, Refusal, State},
    time::Time,
};
use tokio::sync::oneshot;

use super::{driver::Driver, handle::Cluster, leading::name, voting::disks};
use crate::control::{Group, Proposal};

/// Why nothing is chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ChooseError {
    /// This node does not lead, or does so no more: nobody knows what has become of it.
    NotLeader,
    /// There is no member of that name.
    Unknown,
    /// It is refused, for this reason. Nothing was changed.
    Refused(String),
}

/// Somebody wishes that a node votes, or does not.
#[derive(Debug)]
pub(super) struct Ask {
    name: String,
    choice: Option<VoterChoice>,
    answer: Answer,
}

type Answer = oneshot::Sender<Result<(), ChooseError>>;

/// The wishes that the leader keeps until the group has agreed on them.
#[derive(Debug, Default)]
pub(super) struct Choosing {
    asks: Vec<Ask>,
    proposed: BTreeMap<Proposal, Answer>,
}

impl Choosing {
    fn handle_ask(&mut self, ask: Ask) {
        if self.asks.len() < ASKS_MAX {
            self.asks.push(ask);
        }
    }

    /// A command is committed and applied.
    pub(super) fn handle_applied(
        &mut self,
        proposal: Proposal,
        outcome: &Result<Vec<Event>, Refusal>,
    ) {
        // What was proposed for this index or one before, in another term, is lost.
        let mut later = self.proposed.split_off(&proposal);
        let answer = later.remove(&proposal);
        self.proposed = later;
        if let Some(answer) = answer {
            let outcome = outcome.as_ref().map(|_| ());
            let outcome = outcome.map_err(|why| ChooseError::Refused(why.to_string()));
            drop(answer.send(outcome));
        }
    }

    /// This node does not lead: whoever waits is told by the end of the channel.
    pub(super) fn clear(&mut self) {
        self.asks.clear();
        self.proposed.clear();
    }
}

impl Cluster {
    /// Chooses that a member is to vote, that it is not, or that the cluster decides. Returns when the group
    /// has agreed on it.
    ///
    /// # Errors
    /// [`ChooseError`].
    ///
    /// # Cancel safety
    /// Dropping it only ends the wait: what was asked for may come to be.
    pub(crate) async fn choose(
        &self,
        name: String,
        choice: Option<VoterChoice>,
    ) -> Result<(), ChooseError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            name,
            choice,
            answer,
        };
        let sent = self.asks.send(ask).await;
        sent.map_err(|_| ChooseError::NotLeader)?;
        answered.await.unwrap_or(Err(ChooseError::NotLeader))
    }
}

impl Driver {
    /// Takes a wish, which the next step takes up. One that does not lead lets go of it.
    pub(super) fn handle_wish(&mut self, ask: Ask) {
        if self.leading.term.is_some() {
            self.leading.choosing.handle_ask(ask);
        }
    }

    /// Has the group agree on what is wished; returns whether it was told.
    pub(super) fn choose(&mut self, group: &mut Group, now: Time) -> bool {
        let mut was_told = false;
        for ask in mem::take(&mut self.leading.choosing.asks) {
            let of = match self.check(&ask, group, now) {
                Ok(of) => of,
                Err(why) => {
                    drop(ask.answer.send(Err(why)));
                    continue;
                }
            };
            let choice = ask.choice;
            // Where it is not taken the answer is dropped, and with it the wait.
            if let Ok(proposal) = group.propose(&Command::Choose { of, choice }) {
                let node = ask.name;
                tracing::info!(%node, ?choice, "it is chosen whether a node votes");
                self.leading.choosing.proposed.insert(proposal, ask.answer);
                was_told = true;
            }
        }
        was_told
    }

    fn check(&mut self, ask: &Ask, group: &Group, now: Time) -> Result<Owner, ChooseError> {
        let state = group.state();
        self.note_gone(state, now);
        let mut members = state.members();
        let member = members.find(|(member, _)| member.name.as_str() == ask.name);
        let (member, standing) = member.ok_or(ChooseError::Unknown)?;
        let candidates = self.candidates(group, &disks(state));
        if let Some(old) = self.outdated(&candidates, member.id()) {
            let old = name(state, old);
            return Err(ChooseError::Refused(format!(
                "{old} has a version of Callboard that does not know that voters can be chosen, and could not read \
                 the log any more: update it first"
            )));
        }
        let gone_max = self.leading.voting.gone_max;
        let checked = check_choice(&candidates, member.id(), ask.choice, gone_max, now);
        checked.map_err(|why| {
            let why_no_voter = self.why_no_voter(member, standing);
            let why_no_voter = why_no_voter.unwrap_or("its version cannot read the log");
            ChooseError::Refused(text(why, &ask.name, why_no_voter, state))
        })?;
        Ok(member.owner())
    }

    /// Returns a node that would not understand the choice: this one, or one that has a seat. One that is
    /// not linked is not known.
    fn outdated(&self, candidates: &[VoterCandidate], node: NodeId) -> Option<NodeId> {
        let mut seated = candidates
            .iter()
            .filter(|it| it.node == node || it.seated != Seated::No);
        let old = seated.find(|it| self.peers.is_outdated(it.node));
        old.map(|it| it.node)
    }
}

/// Says why a choice is refused, and what to do.
fn text(why: ChoiceRefusal, node: &str, why_no_voter: &str, state: &State) -> String {
    match why {
        ChoiceRefusal::AlreadyVoter => format!("{node} votes already"),
        ChoiceRefusal::NotVoter => format!("{node} does not vote, and is not about to"),
        ChoiceRefusal::NotChosen => {
            format!("nothing is chosen for {node}: the cluster decides whether it votes")
        }
        ChoiceRefusal::NotEligible => format!("{node} cannot vote: {why_no_voter}"),
        ChoiceRefusal::Gone => {
            format!("{node} holds no lease: see whether its process runs, and is reached")
        }
        ChoiceRefusal::AllChosen { seats } => {
            let chosen = state.choices().into_iter().flat_map(|it| it.iter());
            let wanted = chosen.filter(|(_, choice)| *choice == VoterChoice::Wanted);
            let mut wanted: Vec<String> = wanted.map(|(node, _)| name(state, node)).collect();
            wanted.sort();
            let wanted = wanted.join(", ");
            format!(
                "as many are chosen as can vote in a cluster of this size, {seats}: {wanted}; remove one of them \
                 first, or let the cluster decide of it"
            )
        }
        ChoiceRefusal::LastVoter => format!(
            "{node} is the only voter, and no other node could take its seat now: start one with a data folder \
             first"
        ),
        ChoiceRefusal::NoSuccessor => format!(
            "no other node could take the seat of {node} now, and with fewer voters the loss of one would be \
             the loss of the cluster: start one with a data folder first, or drain {node} if it is to go"
        ),
        ChoiceRefusal::NoQuorum { there, voters } => format!(
            "of the {voters} voters that would be left {there} hold their leases, which is too few to decide \
             anything: bring the others back first"
        ),
        _ => format!("{node} is no member"),
    }
}

/// How many wishes wait. People have them, one at a time.
pub(super) const ASKS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn ask() -> (Ask, oneshot::Receiver<Result<(), ChooseError>>) {
        let (answer, answered) = oneshot::channel();
        let ask = Ask {
            name: "n1".to_owned(),
            choice: None,
            answer,
        };
        (ask, answered)
    }

    fn proposal(index: u64, term: u64) -> Proposal {
        Proposal { index, term }
    }

    #[test]
    fn whoever_waits_hears_of_the_command_that_was_proposed_and_of_no_other() {
        let mut choosing = Choosing::default();
        let mut answers = Vec::new();
        for index in 1..=3 {
            let (ask, answered) = ask();
            choosing.proposed.insert(proposal(index, 5), ask.answer);
            answers.push(answered);
        }
        let [mut first, mut second, mut third] = <[_; 3]>::try_from(answers).expect("three");
        // Another leader has put something else there.
        choosing.handle_applied(proposal(1, 6), &Ok(Vec::new()));
        first.try_recv().expect_err("lost");
        choosing.handle_applied(proposal(2, 5), &Ok(Vec::new()));
        assert_eq!(second.try_recv(), Ok(Ok(())));
        choosing.clear();
        third.try_recv().expect_err("it leads no more");
    }

    #[test]
    fn a_refusal_of_the_group_is_told_with_its_reason() {
        let mut choosing = Choosing::default();
        let (ask, mut answered) = ask();
        choosing.proposed.insert(proposal(1, 5), ask.answer);
        let refusal = Refusal::NotFormed;
        choosing.handle_applied(proposal(1, 5), &Err(refusal.clone()));
        let refused = ChooseError::Refused(refusal.to_string());
        assert_eq!(answered.try_recv(), Ok(Err(refused)));
    }

    #[test]
    fn so_many_wishes_wait_and_no_more() {
        let mut choosing = Choosing::default();
        let mut answers: Vec<_> = (0..=ASKS_MAX)
            .map(|_| {
                let (ask, answered) = ask();
                choosing.handle_ask(ask);
                answered
            })
            .collect();
        assert_eq!(choosing.asks.len(), ASKS_MAX);
        let mut last = answers.pop().expect("one");
        let closed = oneshot::error::TryRecvError::Closed;
        assert_eq!(last.try_recv(), Err(closed));
    }

    #[test]
    fn every_refusal_names_the_node_and_says_what_is_so() {
        let (there, voters) = (2, 4);
        let all = [
            (ChoiceRefusal::AlreadyVoter, "n1 votes already"),
            (ChoiceRefusal::NotVoter, "n1 does not vote"),
            (ChoiceRefusal::NotChosen, "nothing is chosen for n1"),
            (
                ChoiceRefusal::NotEligible,
                "n1 cannot vote: it has no data folder",
            ),
            (ChoiceRefusal::Gone, "n1 holds no lease"),
            (
                ChoiceRefusal::AllChosen { seats: 3 },
                "can vote in a cluster of this size, 3",
            ),
            (ChoiceRefusal::LastVoter, "n1 is the only voter"),
            (ChoiceRefusal::NoSuccessor, "the seat of n1 now"),
            (
                ChoiceRefusal::NoQuorum { there, voters },
                "of the 4 voters that would be left 2",
            ),
            (ChoiceRefusal::Unknown, "n1 is no member"),
        ];
        for (why, begins) in all {
            let said = text(why, "n1", "it has no data folder", &State::new());
            assert!(said.contains(begins), "{said}");
        }
    }
}
