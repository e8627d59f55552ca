use super::*;

fn at(secs: u64) -> Time {
    Time::from_millis(secs * 1000)
}

/// Members 1 to `count`, over this many zones in turn.
fn members(count: u64, zones: u64) -> Vec<VoterCandidate> {
    let member = |node| VoterCandidate {
        node: NodeId(node),
        zone: format!("z{}", node % zones),
        seated: Seated::No,
        gone_since: None,
        eligible: true,
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
fn settle(members: &mut [VoterCandidate], now: Time) -> Vec<SeatChange> {
    let mut changes = Vec::new();
    while let Some(change) = plan_voters(members, GONE_MAX, now) {
        carry_out(members, change);
        changes.push(change);
        assert!(changes.len() < 100, "it never settles: {changes:?}");
    }
    changes
}

fn voters(members: &[VoterCandidate]) -> Vec<u64> {
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
    let mut members = members(4, 4);
    for member in &mut members[..3] {
        member.zone = "a".into();
        member.seated = Seated::Voter;
    }
    members[3].seated = Seated::Learner { caught_up: false };
    assert_eq!(plan_voters(&members, GONE_MAX, at(0)), None);
    members[3].seated = Seated::Learner { caught_up: true };
    let (out, into) = (NodeId(3), NodeId(4));
    let swap = Some(SeatChange::Swap { out, into });
    assert_eq!(plan_voters(&members, GONE_MAX, at(0)), swap);
}

#[test]
fn whatever_happens_the_plan_settles_with_the_wanted_number() {
    let mut random = crate::garbage::Random::new(7);
    for round in 0..2000 {
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
        }
        settle(&mut members, at(120));
        let view = View::of(&members, GONE_MAX, at(120));
        let there = members.iter();
        let there = there.filter(|it| view.may_stay(it) && it.gone_since.is_none());
        let (voters, wanted) = (view.voters.len(), view.wanted());
        let seatable = there.clone().count() + 1 > wanted;
        assert!(!seatable || voters == wanted, "{round}: {members:?}");
    }
}
