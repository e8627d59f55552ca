use super::*;
use crate::membership::GONE_MAX;
use crate::membership::voters::tests::{at, members, settle, voters};

const WANTED: Option<VoterChoice> = Some(VoterChoice::Wanted);
const BARRED: Option<VoterChoice> = Some(VoterChoice::Barred);

/// So many members in one zone, whose voters are seated.
fn seated(count: u64) -> Vec<VoterCandidate> {
    let mut members = members(count, 1);
    settle(&mut members, at(0));
    members
}

fn choose(
    members: &mut [VoterCandidate],
    node: u64,
    choice: Option<VoterChoice>,
) -> Result<(), ChoiceRefusal> {
    check_choice(members, NodeId(node), choice, GONE_MAX, at(1))?;
    let mut of_node = members.iter_mut().filter(|it| it.node == NodeId(node));
    of_node.next().expect("a member").choice = choice;
    Ok(())
}

#[test]
fn a_voter_is_replaced_by_one_that_is_added_or_by_removing_it() {
    let mut members = seated(4);
    assert_eq!(choose(&mut members, 4, WANTED), Ok(()));
    assert_eq!(choose(&mut members, 4, WANTED), Ok(()), "not carried out");
    settle(&mut members, at(1));
    assert_eq!(voters(&members), [1, 2, 4]);
    assert_eq!(choose(&mut members, 1, BARRED), Ok(()));
    settle(&mut members, at(1));
    assert_eq!(voters(&members), [2, 3, 4]);
    // The other way round, before and after it is carried out.
    assert_eq!(
        choose(&mut members, 2, BARRED),
        Err(ChoiceRefusal::NoSuccessor)
    );
    assert_eq!(choose(&mut members, 1, None), Ok(()));
    assert_eq!(choose(&mut members, 1, None), Err(ChoiceRefusal::NotChosen));
    assert_eq!(choose(&mut members, 2, BARRED), Ok(()));
    assert_eq!(choose(&mut members, 2, BARRED), Ok(()), "not carried out");
    assert_eq!(choose(&mut members, 2, WANTED), Ok(()), "it stays");
    assert_eq!(settle(&mut members, at(1)), []);
}

#[test]
fn what_there_is_already_is_refused() {
    let mut members = seated(4);
    assert_eq!(
        choose(&mut members, 1, WANTED),
        Err(ChoiceRefusal::AlreadyVoter)
    );
    assert_eq!(
        choose(&mut members, 4, BARRED),
        Err(ChoiceRefusal::NotVoter)
    );
    assert_eq!(choose(&mut members, 9, WANTED), Err(ChoiceRefusal::Unknown));
    // One that is about to vote is no voter, and need not become one.
    assert_eq!(choose(&mut members, 4, WANTED), Ok(()));
    assert_eq!(choose(&mut members, 4, BARRED), Ok(()));
    assert_eq!(
        choose(&mut members, 4, BARRED),
        Err(ChoiceRefusal::NotVoter)
    );
}

#[test]
fn one_that_cannot_vote_is_not_added() {
    let mut members = seated(5);
    members[3].eligible = false;
    members[4].gone_since = Some(at(1));
    assert_eq!(
        choose(&mut members, 4, WANTED),
        Err(ChoiceRefusal::NotEligible)
    );
    assert_eq!(choose(&mut members, 5, WANTED), Err(ChoiceRefusal::Gone));
}

#[test]
fn more_are_not_added_than_there_can_be_voters() {
    // Two nodes have one voter, four have three.
    for (count, seats) in [(2, 1), (4, 3), (7, 5)] {
        let mut members = seated(count);
        for node in 1..=seats {
            members[node as usize - 1].choice = WANTED;
        }
        let refused = choose(&mut members, count, WANTED);
        let seats = seats as usize;
        assert_eq!(refused, Err(ChoiceRefusal::AllChosen { seats }), "{count}");
    }
    // Five in one zone have three, unless more are wanted.
    let mut members = seated(5);
    for node in 1..=3 {
        members[node - 1].choice = WANTED;
    }
    assert_eq!(choose(&mut members, 4, WANTED), Ok(()));
    settle(&mut members, at(1));
    assert_eq!(voters(&members).len(), 5);
}

#[test]
fn the_last_voter_and_one_without_a_successor_are_not_removed() {
    let mut members = seated(1);
    assert_eq!(
        choose(&mut members, 1, BARRED),
        Err(ChoiceRefusal::LastVoter)
    );
    let mut members = seated(3);
    assert_eq!(
        choose(&mut members, 3, BARRED),
        Err(ChoiceRefusal::NoSuccessor)
    );
    // One that is there a little later is no successor now.
    let mut members = seated(4);
    members[3].gone_since = Some(at(1));
    assert_eq!(
        choose(&mut members, 3, BARRED),
        Err(ChoiceRefusal::NoSuccessor)
    );
    let mut members = seated(2);
    assert_eq!(choose(&mut members, 1, BARRED), Ok(()));
    settle(&mut members, at(1));
    assert_eq!(voters(&members), [2]);
}

#[test]
fn a_voter_is_not_removed_if_too_few_would_be_there() {
    let mut members = seated(5);
    for member in &mut members[..4] {
        member.choice = WANTED;
    }
    settle(&mut members, at(0));
    assert_eq!(voters(&members).len(), 5);
    for lost in &mut members[3..] {
        lost.gone_since = Some(at(1));
    }
    let (there, voters) = (2, 4);
    let refused = ChoiceRefusal::NoQuorum { there, voters };
    assert_eq!(choose(&mut members, 3, BARRED), Err(refused));
    assert_eq!(choose(&mut members, 5, BARRED), Ok(()), "it is gone");
}

#[test]
fn whatever_is_chosen_and_not_refused_is_carried_out_and_keeps_a_quorum() {
    let mut random = crate::garbage::Random::new(11);
    let mut carried_out = 0;
    for round in 0..2000 {
        let count = 1 + random.below(9) as u64;
        let mut members = members(count, 1 + random.below(3) as u64);
        settle(&mut members, at(0));
        for _ in 0..4 {
            let node = 1 + random.below(count as usize) as u64;
            let choice = [WANTED, BARRED, None][random.below(3)];
            if choose(&mut members, node, choice).is_err() {
                continue;
            }
            let before = voters(&members).len();
            settle(&mut members, at(1));
            let voters = voters(&members);
            let votes = voters.contains(&node);
            assert_eq!(voters.len() % 2, 1, "{round}: {members:?}");
            match choice {
                WANTED => assert!(votes, "{round}: {members:?}"),
                BARRED => assert!(!votes, "{round}: {members:?}"),
                _ => {}
            }
            assert!(voters.len() + 2 >= before, "{round}: {members:?}");
            carried_out += usize::from(choice.is_some());
        }
    }
    assert!(carried_out > 1000, "{carried_out}");
}
