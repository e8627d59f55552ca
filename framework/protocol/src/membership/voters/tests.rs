use super::*;

pub(in crate::membership) fn at(secs: u64) -> Time {
    Time::from_millis(secs * 1000)
}

/// Members 1 to `count`, over this many zones in turn.
pub(in crate::membership) fn members(count: u64, zones: u64) -> Vec<VoterCandidate> {
    let member = |node| VoterCandidate {
        node: NodeId(node),
        zone: format!("z{}", node % zones),
        seated: Seated::No,
        gone_since: None,
        eligible: true,
        choice: None,
    };
    (1..=count).map(member).collect()
}

/// Carries out a change; learners catch up at once. Panics where a change makes no sense.
fn carry_out(members: &mut [VoterCandidate], change: SeatChange) {
    let mut set = |node, from: &[Seated], to| {
        let member = members.iter_mut().find(|it| it.node == node);
        let member = member.expect("a member");
        assert!(from.contains(&member.seated), "{change:?}: {member:?}");
        member.seated = to;
    };
    let learner = Seated::Learner { caught_up: true };
    match change {
        SeatChange::AddLearner(node) => set(node, &[Seated::No], learner),
        SeatChange::DropLearner(node) => set(node, &[learner], Seated::No),
        SeatChange::Seat(node) => set(node, &[learner], Seated::Voter),
        SeatChange::Swap { out, into } => {
            set(into, &[learner], Seated::Voter);
            set(out, &[Seated::Voter], Seated::No);
        }
        SeatChange::Unseat(node) => set(node, &[Seated::Voter], Seated::No),
    }
}

/// Carries out changes until there are none; returns them.
pub(in crate::membership) fn settle(members: &mut [VoterCandidate], now: Time) -> Vec<SeatChange> {
    let mut changes = Vec::new();
    while let Some(change) = plan_voters(members, GONE_MAX, now) {
        carry_out(members, change);
        changes.push(change);
        assert!(changes.len() < 100, "it never settles: {changes:?}");
    }
    changes
}

pub(in crate::membership) fn voters(members: &[VoterCandidate]) -> Vec<u64> {
    let voters = members.iter().filter(|it| it.seated == Seated::Voter);
    voters.map(|it| it.node.0).collect()
}

#[test]
fn the_number_of_voters_follows_the_size() {
    let wanted = |count, zones| voters_wanted(count, zones);
    assert_eq!([1, 2, 3, 6].map(|it| wanted(it, 1)), [1, 1, 3, 3]);
    assert_eq!([7, 50, 1000].map(|it| wanted(it, 1)), [5, 5, 5]);
    assert_eq!([3, 4, 5].map(|it| wanted(it, 3)), [3, 3, 5]);
}

#[test]
fn a_cluster_that_grows_gets_its_voters_one_step_at_a_time() {
    let mut members = members(3, 1);
    members[0].seated = Seated::Voter;
    let steps = settle(&mut members, at(0));
    let (two, three) = (NodeId(2), NodeId(3));
    assert_eq!(
        steps,
        [
            SeatChange::AddLearner(two),
            SeatChange::Seat(two),
            SeatChange::AddLearner(three),
            SeatChange::Seat(three)
        ]
    );
}

#[test]
fn a_learner_that_has_not_caught_up_is_waited_for() {
    let mut members = members(3, 1);
    members[0].seated = Seated::Voter;
    members[2].seated = Seated::Learner { caught_up: false };
    assert_eq!(plan_voters(&members, GONE_MAX, at(0)), None);
    members[2].gone_since = Some(at(0));
    assert_eq!(
        plan_voters(&members, GONE_MAX, at(1)),
        Some(SeatChange::DropLearner(NodeId(3)))
    );
}

#[test]
fn a_voter_gone_for_a_minute_is_replaced_and_not_before() {
    let mut members = members(4, 1);
    settle(&mut members, at(0));
    assert_eq!(voters(&members), [1, 2, 3]);
    members[1].gone_since = Some(at(10));
    assert_eq!(plan_voters(&members, GONE_MAX, at(69)), None);
    let (out, into) = (NodeId(2), NodeId(4));
    let expected = [SeatChange::AddLearner(into), SeatChange::Swap { out, into }];
    assert_eq!(settle(&mut members, at(70)), expected);
    members[1].gone_since = None;
    assert_eq!(settle(&mut members, at(80)), [], "its return moves no seat");
}

#[test]
fn a_lost_voter_without_a_successor_keeps_the_others_seats() {
    let mut members = members(5, 1);
    settle(&mut members, at(0));
    for lost in &mut members[2..5] {
        lost.gone_since = Some(at(0));
    }
    // Two are left, which is a size for one voter; the lost one goes first.
    let steps = settle(&mut members, at(60));
    assert_eq!(steps[0], SeatChange::Unseat(NodeId(3)));
}

#[test]
fn a_drained_voter_gives_its_seat_at_once() {
    let mut members = members(4, 1);
    settle(&mut members, at(0));
    members[0].eligible = false;
    settle(&mut members, at(1));
    assert_eq!(voters(&members), [2, 3, 4]);
}

#[test]
fn seats_are_spread_over_the_zones() {
    for (count, zones) in [(3, 3), (5, 3), (7, 2), (9, 3), (12, 5), (50, 4)] {
        let mut members = members(count, zones);
        settle(&mut members, at(0));
        let mut seats = BTreeMap::new();
        for member in members.iter().filter(|it| it.seated == Seated::Voter) {
            *seats.entry(member.zone.clone()).or_insert(0) += 1;
        }
        let most = seats.values().max().expect("voters");
        let voters = voters(&members).len() as u64;
        assert_eq!(
            *most,
            voters.div_ceil(zones),
            "{count} in {zones}: {seats:?}"
        );
    }
}

#[test]
fn seats_in_one_zone_move_when_others_come() {
    let mut members = members(4, 4);
    for member in &mut members[..3] {
        member.zone = "a".into();
        member.seated = Seated::Voter;
    }
    members[3].zone = "b".into();
    let (out, into) = (NodeId(3), NodeId(4));
    let expected = [SeatChange::AddLearner(into), SeatChange::Swap { out, into }];
    assert_eq!(settle(&mut members, at(0)), expected);
}

#[test]
fn a_learner_that_is_to_take_a_seat_is_waited_for_until_it_has_caught_up() {
    let late = Seated::Learner { caught_up: false };
    // For the zones, and because it is wanted.
    let mut spread = members(4, 4);
    let mut chosen = members(4, 1);
    for member in &mut spread[..3] {
        member.zone = "a".into();
    }
    chosen[3].choice = Some(VoterChoice::Wanted);
    for members in [&mut spread, &mut chosen] {
        for member in &mut members[..3] {
            member.seated = Seated::Voter;
        }
        members[3].seated = late;
        assert_eq!(plan_voters(members, GONE_MAX, at(0)), None);
        members[3].seated = Seated::Learner { caught_up: true };
        let (out, into) = (NodeId(3), NodeId(4));
        let swap = Some(SeatChange::Swap { out, into });
        assert_eq!(plan_voters(members, GONE_MAX, at(0)), swap);
    }
}

#[test]
fn one_that_is_wanted_gets_the_seat_of_one_for_which_nothing_is_chosen() {
    let mut members = members(5, 1);
    settle(&mut members, at(0));
    members[4].choice = Some(VoterChoice::Wanted);
    let (out, into) = (NodeId(3), NodeId(5));
    let expected = [SeatChange::AddLearner(into), SeatChange::Swap { out, into }];
    assert_eq!(settle(&mut members, at(0)), expected);
    members[3].choice = Some(VoterChoice::Wanted);
    settle(&mut members, at(0));
    assert_eq!(voters(&members), [1, 4, 5]);
    // Four that are wanted are more than three seats, and four seats are no better than three.
    members[1].choice = Some(VoterChoice::Wanted);
    members[2].choice = Some(VoterChoice::Wanted);
    settle(&mut members, at(0));
    assert_eq!(voters(&members), [1, 2, 3, 4, 5]);
}

#[test]
fn a_learner_for_which_nothing_is_chosen_makes_room_for_one_that_is_wanted() {
    let mut members = members(4, 1);
    settle(&mut members[..2], at(0));
    members[1].seated = Seated::Learner { caught_up: true };
    members[3].choice = Some(VoterChoice::Wanted);
    let steps = settle(&mut members, at(0));
    let (two, four) = (NodeId(2), NodeId(4));
    let expected = [SeatChange::DropLearner(two), SeatChange::AddLearner(four)];
    assert_eq!(steps[..2], expected);
}

#[test]
fn one_that_is_barred_gives_its_seat_up_to_another_one_and_gets_none_again() {
    let mut members = members(4, 1);
    settle(&mut members, at(0));
    members[1].choice = Some(VoterChoice::Barred);
    let (out, into) = (NodeId(2), NodeId(4));
    let expected = [SeatChange::AddLearner(into), SeatChange::Swap { out, into }];
    assert_eq!(settle(&mut members, at(0)), expected);
    // Not even when one of the others is lost: rather fewer, as in a cluster of that size.
    members[0].gone_since = Some(at(0));
    settle(&mut members, at(60));
    assert_eq!(voters(&members).len(), 1);
    assert!(!voters(&members).contains(&2));
    members[1].choice = None;
    settle(&mut members, at(60));
    assert_eq!(voters(&members), [2, 3, 4]);
}

#[test]
fn one_that_is_barred_counts_for_the_size_and_keeps_a_seat_that_nobody_can_take() {
    let mut members = members(7, 1);
    settle(&mut members, at(0));
    members[6].choice = Some(VoterChoice::Barred);
    assert_eq!(settle(&mut members, at(0)), [], "five of seven vote");
    let mut members = self::members(1, 1);
    members[0].seated = Seated::Voter;
    members[0].choice = Some(VoterChoice::Barred);
    assert_eq!(settle(&mut members, at(0)), []);
}

#[test]
fn one_that_is_wanted_is_replaced_while_it_is_gone_and_gets_its_seat_back() {
    let mut members = members(4, 1);
    members[0].choice = Some(VoterChoice::Wanted);
    settle(&mut members, at(0));
    members[0].gone_since = Some(at(0));
    settle(&mut members, at(60));
    assert_eq!(voters(&members), [2, 3, 4]);
    members[0].gone_since = None;
    settle(&mut members, at(61));
    assert_eq!(voters(&members), [1, 2, 3]);
}

#[test]
fn seats_that_are_chosen_are_not_spread_over_the_zones() {
    let mut members = members(4, 4);
    for member in &mut members[..3] {
        member.zone = "a".into();
        member.seated = Seated::Voter;
        member.choice = Some(VoterChoice::Wanted);
    }
    assert_eq!(settle(&mut members, at(0)), []);
    members[0].choice = None;
    settle(&mut members, at(0));
    assert_eq!(voters(&members), [2, 3, 4]);
}

#[test]
fn no_seat_is_taken_that_a_quorum_needs() {
    let mut members = members(5, 1);
    for member in &mut members {
        member.seated = Seated::Voter;
    }
    members[3].gone_since = Some(at(0));
    members[4].gone_since = Some(at(0));
    members[2].eligible = false;
    assert_eq!(plan_voters(&members, GONE_MAX, at(1)), None, "two of four");
    members[4].gone_since = None;
    let change = plan_voters(&members, GONE_MAX, at(1));
    assert_eq!(change, Some(SeatChange::Unseat(NodeId(3))));
}

#[test]
fn whatever_happens_the_plan_settles_with_the_wanted_number() {
    let mut random = crate::garbage::Random::new(7);
    let mut chosen = 0;
    for round in 0..4000 {
        let count = 1 + random.below(12) as u64;
        let mut members = members(count, 1 + random.below(4) as u64);
        for member in &mut members {
            member.eligible = random.below(5) > 0;
            member.gone_since = (random.below(4) == 0).then_some(at(random.below(120) as u64));
            member.seated = match random.below(4) {
                0 => Seated::No,
                1 => Seated::Learner { caught_up: true },
                _ => Seated::Voter,
            };
            member.choice = match random.below(6) {
                0 => Some(VoterChoice::Wanted),
                1 => Some(VoterChoice::Barred),
                _ => None,
            };
        }
        let there = |it: &&VoterCandidate| it.gone_since.is_none();
        let is_there = |voters: &[&VoterCandidate]| {
            voters.iter().copied().filter(there).count() >= quorum(voters.len())
        };
        let began_with_a_quorum = is_there(&View::of(&members, GONE_MAX, at(120)).voters);
        settle(&mut members, at(120));
        let view = View::of(&members, GONE_MAX, at(120));
        assert!(!began_with_a_quorum || is_there(&view.voters), "{round}");
        let seatable = members.iter();
        let seatable = seatable.filter(|it| view.may_stay(it) && it.gone_since.is_none());
        let (voters, wanted) = (view.voters.len(), view.wanted());
        let seatable = seatable.count() + 1 > wanted;
        // One that is there is not taken out while too few others are.
        let is_blocked = voters > wanted && view.worst_voter(|_| true).is_some();
        let is_blocked = is_blocked && view.voters.iter().any(|it| it.gone_since.is_some());
        assert!(
            !seatable || voters == wanted || is_blocked,
            "{round}: {members:?}"
        );
        let is_settled = began_with_a_quorum && seatable && voters == wanted;
        if is_settled && members.iter().any(|it| it.choice.is_some()) {
            chosen += 1;
            let barred = |it: &&VoterCandidate| it.choice == Some(VoterChoice::Barred);
            assert!(
                !view.voters.iter().copied().any(|it| barred(&it)),
                "{round}"
            );
            let waits = members
                .iter()
                .any(|it| it.is_wanted() && it.may_take() && !it.is_voter());
            let all_wanted = view.voters.iter().all(|it| it.is_wanted());
            assert!(!waits || all_wanted, "{round}: {members:?}");
        }
    }
    assert!(chosen > 500, "{chosen}");
}
