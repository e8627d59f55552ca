use super::*;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);
const LIFE: Incarnation = Incarnation(10);

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

fn leading(members: &[NodeId]) -> Leases {
    let mut leases = Leases::new(Profile::lan());
    leases.handle_leading(members.iter().map(|node| (*node, LIFE)), at(0));
    leases
}

fn renew(leases: &mut Leases, node: NodeId, number: u64, now: u64) -> Result<(), LeaseRefusal> {
    leases.handle_renewal(node, LIFE, RenewalNumber(number), at(now))
}

fn actions(leases: &mut Leases, now: u64) -> Vec<LeaseAction> {
    std::iter::from_fn(|| leases.poll_action(at(now))).collect()
}

fn grant(to: NodeId, number: u64) -> LeaseAction {
    let number = RenewalNumber(number);
    LeaseAction::Grant {
        to,
        incarnation: LIFE,
        number,
    }
}

#[test]
fn a_batch_is_answered_after_a_read_that_began_when_it_was_full() {
    let mut leases = leading(&[A, B]);
    renew(&mut leases, A, 1, 100).expect("a member");
    renew(&mut leases, B, 1, 130).expect("a member");
    assert_eq!(leases.next_deadline(), Some(at(150)));
    assert_eq!(actions(&mut leases, 149), []);
    assert_eq!(
        actions(&mut leases, 150),
        [LeaseAction::Read(ReadNumber(0))]
    );
    // This one is not of the batch: the read began before it came.
    renew(&mut leases, A, 2, 151).expect("a member");
    leases.handle_read_done(ReadNumber(0));
    assert_eq!(actions(&mut leases, 160), [grant(A, 1), grant(B, 1)]);
    assert_eq!(
        actions(&mut leases, 201),
        [LeaseAction::Read(ReadNumber(1))]
    );
    leases.handle_read_failed(ReadNumber(1));
    leases.handle_read_done(ReadNumber(1));
    assert_eq!(actions(&mut leases, 210), []);
}

#[test]
fn a_lease_ends_after_its_time_and_the_drift_and_is_renewed_no_more() {
    let mut leases = leading(&[A]);
    renew(&mut leases, A, 1, 1000).expect("a member");
    actions(&mut leases, 1050);
    leases.handle_read_done(ReadNumber(0));
    assert_eq!(actions(&mut leases, 1060), [grant(A, 1)]);
    assert_eq!(leases.next_deadline(), Some(at(1000 + 3090 + 50)));
    assert_eq!(actions(&mut leases, 4139), []);
    assert!(leases.is_alive(A, LIFE));
    let lapse = LeaseAction::Lapse {
        node: A,
        incarnation: LIFE,
    };
    assert_eq!(actions(&mut leases, 4140), [lapse]);
    assert!(!leases.is_alive(A, LIFE));
    assert_eq!(
        renew(&mut leases, A, 2, 4141),
        Err(LeaseRefusal::Lapsed { node: A })
    );
    // Until it is committed it is asked for again.
    assert_eq!(actions(&mut leases, 4140 + 375), [lapse]);
    leases.handle_member_gone(A);
    assert_eq!(leases.next_deadline(), None);
}

#[test]
fn a_lapse_that_was_asked_for_stops_the_grant_that_a_read_still_owes() {
    let mut leases = leading(&[A]);
    renew(&mut leases, A, 1, 0).expect("a member");
    actions(&mut leases, 50);
    assert_eq!(actions(&mut leases, 3140).len(), 1, "the lapse");
    leases.handle_read_done(ReadNumber(0));
    assert_eq!(actions(&mut leases, 3141), []);
}

#[test]
fn a_deposed_leader_renews_nobody() {
    let mut leases = leading(&[A]);
    renew(&mut leases, A, 1, 0).expect("a member");
    actions(&mut leases, 50);
    leases.handle_deposed();
    leases.handle_read_done(ReadNumber(0));
    assert_eq!(actions(&mut leases, 51), []);
    assert_eq!(renew(&mut leases, A, 2, 52), Err(LeaseRefusal::NotLeader));
    // Elected again: the answer to a read of the term before is worth nothing.
    leases.handle_leading([(A, LIFE)], at(100));
    renew(&mut leases, A, 3, 100).expect("a member");
    assert_eq!(
        actions(&mut leases, 150),
        [LeaseAction::Read(ReadNumber(1))]
    );
    leases.handle_read_done(ReadNumber(0));
    assert_eq!(actions(&mut leases, 151), []);
}

#[test]
fn a_new_leader_takes_every_lease_for_just_renewed() {
    let mut leases = leading(&[A, B]);
    leases.handle_deposed();
    leases.handle_leading([(A, LIFE), (B, LIFE)], at(5000));
    assert_eq!(leases.next_deadline(), Some(at(5000 + 3140)));
}

#[test]
fn other_incarnations_are_told_what_they_are() {
    let mut leases = leading(&[A]);
    let renew_as = |leases: &mut Leases, node, incarnation| {
        leases.handle_renewal(node, Incarnation(incarnation), RenewalNumber(0), at(1))
    };
    let newer = LIFE;
    assert_eq!(
        renew_as(&mut leases, A, 9),
        Err(LeaseRefusal::Superseded { node: A, newer })
    );
    assert_eq!(
        renew_as(&mut leases, A, 11),
        Err(LeaseRefusal::NotMember { node: A })
    );
    assert_eq!(
        renew_as(&mut leases, B, 10),
        Err(LeaseRefusal::NotMember { node: B })
    );
}

#[test]
fn a_successor_replaces_a_life_and_its_unanswered_renewal() {
    let mut leases = leading(&[A]);
    renew(&mut leases, A, 1, 0).expect("a member");
    actions(&mut leases, 50);
    leases.handle_member(A, Incarnation(11), at(60));
    leases.handle_read_done(ReadNumber(0));
    assert_eq!(actions(&mut leases, 61), []);
    assert_eq!(leases.next_deadline(), Some(at(60 + 3140)));
}

#[test]
fn copies_of_a_renewal_do_not_make_a_lease_longer() {
    let mut leases = leading(&[A]);
    renew(&mut leases, A, 5, 100).expect("a member");
    renew(&mut leases, A, 5, 900).expect("ignored");
    renew(&mut leases, A, 4, 900).expect("ignored");
    actions(&mut leases, 900);
    assert_eq!(leases.next_deadline(), Some(at(100 + 3140)));
}

#[test]
fn reads_without_an_answer_are_bounded() {
    let mut leases = leading(&[A]);
    for number in 0..100 {
        renew(&mut leases, A, number, number * 60).expect("a member");
        actions(&mut leases, number * 60 + 50);
    }
    assert_eq!(leases.reads.len(), READS_MAX);
}

#[test]
fn the_mistakes_that_tests_can_plant_are_mistakes() {
    let planted = |mistake| leading(&[A]).with_plant(Plant::of(Some(mistake)));
    let mut leases = planted(Mistake::AnswerWithoutRead);
    renew(&mut leases, A, 1, 0).expect("a member");
    assert!(actions(&mut leases, 50).contains(&grant(A, 1)));

    let mut leases = planted(Mistake::EndLeaseEarly);
    renew(&mut leases, A, 1, 0).expect("a member");
    assert_eq!(leases.next_deadline(), Some(at(50)));
    assert_eq!(actions(&mut leases, 1500).len(), 2);

    let mut leases = planted(Mistake::RenewAfterLapse);
    actions(&mut leases, 3140);
    assert_eq!(renew(&mut leases, A, 1, 3141), Ok(()));
}
