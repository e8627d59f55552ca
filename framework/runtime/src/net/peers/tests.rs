use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A node with id 10; links are numbers.
fn node(seeds: &[SocketAddr], now: Instant) -> Peers<u64> {
    let me = Me {
        id: NodeId(10),
        incarnation: Incarnation(1),
        kind: PeerKind::Node,
    };
    let mut config = Config {
        peers_max: 4,
        ..Config::default()
    };
    config.limits.members_max = 4;
    Peers::new(me, &config, seeds, now)
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn addr(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn name(id: u64) -> NodeName {
    NodeName::new(format!("n{id}")).expect("a name")
}

fn candidate(id: u64, incarnation: u64) -> Candidate {
    Candidate {
        id: NodeId(id),
        name: name(id),
        incarnation: Incarnation(incarnation),
        kind: PeerKind::Node,
        addr: Some(addr(id as u16)),
    }
}

fn member(id: u64, incarnation: u64) -> MemberInfo {
    MemberInfo {
        id: NodeId(id),
        name: name(id),
        incarnation: Incarnation(incarnation),
        addr: addr(id as u16),
    }
}

fn lost() -> LinkDown {
    LinkDown::new(Code::PeerTimeout, "")
}

fn admit(peers: &mut Peers<u64>, who: Candidate, link: u64, now: Instant) -> Admission<u64> {
    peers.handle_candidate(who, link, |_| true, now)
}

fn refusal(admission: Admission<u64>) -> Code {
    match admission {
        Admission::Refuse(why) => why.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn the_side_that_decides_keeps_its_first_link() {
    let now = start();
    let mut peers = node(&[], now);
    assert_eq!(admit(&mut peers, candidate(20, 1), 1, now), Admission::Up);
    let second = admit(&mut peers, candidate(20, 1), 2, now);
    assert_eq!(refusal(second), Code::LinkSuperseded);
    // A link that is on its way down makes place.
    let third = peers.handle_candidate(candidate(20, 1), 3, |_| false, now);
    assert!(matches!(third, Admission::After(1, _)));
    peers.handle_ended(&1, &lost(), now, 0);
    assert_eq!(admit(&mut peers, candidate(20, 1), 3, now), Admission::Up);
}

#[test]
fn the_other_side_follows_the_decision() {
    let now = start();
    let mut peers = node(&[], now);
    assert_eq!(admit(&mut peers, candidate(5, 1), 1, now), Admission::Up);
    assert!(matches!(
        admit(&mut peers, candidate(5, 1), 2, now),
        Admission::After(1, _)
    ));
}

#[test]
fn a_newer_incarnation_replaces_and_an_older_one_is_refused() {
    let now = start();
    for id in [5, 20] {
        let mut peers = node(&[], now);
        assert_eq!(admit(&mut peers, candidate(id, 3), 1, now), Admission::Up);
        assert!(matches!(
            admit(&mut peers, candidate(id, 4), 2, now),
            Admission::After(1, _)
        ));
        assert_eq!(
            refusal(admit(&mut peers, candidate(id, 2), 2, now)),
            Code::DuplicateNode
        );
    }
}

#[test]
fn clients_of_one_name_are_told_apart_by_their_incarnation() {
    let now = start();
    let mut peers = node(&[], now);
    let client = |incarnation| Candidate {
        kind: PeerKind::Client,
        addr: None,
        ..candidate(5, incarnation)
    };
    assert_eq!(admit(&mut peers, client(1), 1, now), Admission::Up);
    assert_eq!(admit(&mut peers, client(2), 2, now), Admission::Up);
    assert_eq!(
        refusal(admit(&mut peers, client(2), 3, now)),
        Code::LinkSuperseded
    );
    assert_eq!(peers.linked_members(), []);
    assert_eq!(peers.version(), 0, "clients are no news for members");
}

#[test]
fn one_more_peer_than_allowed_is_refused() {
    let now = start();
    let mut peers = node(&[], now);
    for id in 20..24 {
        assert_eq!(admit(&mut peers, candidate(id, 1), id, now), Admission::Up);
    }
    assert_eq!(
        refusal(admit(&mut peers, candidate(24, 1), 24, now)),
        Code::TooManyPeers
    );
    // Replacing one of them needs no more room.
    assert!(matches!(
        admit(&mut peers, candidate(23, 2), 24, now),
        Admission::After(23, _)
    ));
}

#[test]
fn a_seed_is_dialled_until_it_is_linked_and_again_when_it_is_lost() {
    let now = start();
    let mut peers = node(&[addr(1)], now);
    assert_eq!(peers.next_deadline(), Some(now));
    let target = peers.poll_dial(now).expect("due");
    assert_eq!(target.addr, addr(1));
    assert_eq!(peers.poll_dial(now), None, "it is being dialled");
    peers.handle_dialled(target, Dialled::Failed(None, lost()), now, 0);
    let next = peers.next_deadline().expect("a new try");
    assert!(next > now && peers.poll_dial(now).is_none());
    let target = peers.poll_dial(next).expect("due");
    assert_eq!(admit(&mut peers, candidate(20, 1), 1, next), Admission::Up);
    peers.handle_dialled(target, Dialled::Linked(NodeId(20)), next, 0);
    assert_eq!(peers.next_deadline(), None);
    peers.handle_ended(&1, &lost(), next, 0);
    let again = peers.next_deadline().expect("a new try");
    assert!(again - next <= SECOND);
    assert!(peers.poll_dial(again).is_some());
}

#[test]
fn waits_double_up_to_their_limit_with_jitter() {
    let now = start();
    let peers = node(&[], now);
    let most = |attempt| peers.settings.backoff(attempt, u64::MAX);
    let least = |attempt| peers.settings.backoff(attempt, 0);
    assert_eq!(
        (least(0), most(0)),
        (Duration::from_millis(25), Duration::from_millis(50))
    );
    assert_eq!(most(3), Duration::from_millis(400));
    assert_eq!((least(16), most(16)), (SECOND * 5 / 2, SECOND * 5));
}

#[test]
fn a_seed_that_is_the_node_itself_is_not_dialled_again() {
    let now = start();
    let mut peers = node(&[addr(1)], now);
    let target = peers.poll_dial(now).expect("due");
    let own = Some((NodeId(10), Incarnation(1)));
    let why = LinkDown::new(Code::DuplicateNode, "");
    peers.handle_dialled(target, Dialled::Failed(own, why.clone()), now, 0);
    assert_eq!(peers.next_deadline(), None);
    assert_eq!(peers.refused_by_all(), None);
    // Another process with this node's name is a refusal.
    let mut peers = node(&[addr(1)], now);
    let target = peers.poll_dial(now).expect("due");
    let twin = Some((NodeId(10), Incarnation(2)));
    peers.handle_dialled(target, Dialled::Failed(twin, why.clone()), now, 0);
    assert_eq!(peers.refused_by_all(), Some((addr(1), why)));
}

#[test]
fn members_that_are_heard_of_are_dialled_and_forgotten_in_time() {
    let now = start();
    let mut peers = node(&[], now);
    peers.handle_members(vec![member(10, 1), member(20, 1), member(5, 1)], now);
    // This node decides about 20, and leaves the first try to 5.
    let target = peers.poll_dial(now).expect("due");
    assert_eq!(target.addr, addr(20));
    assert_eq!(peers.poll_dial(now), None);
    assert!(
        peers
            .poll_dial(now + SECOND)
            .is_some_and(|target| target.addr == addr(5))
    );
    peers.handle_dialled(target, Dialled::Failed(None, lost()), now, 0);
    peers.handle_members(vec![member(20, 1)], now + SECOND * 50);
    let dials = |peers: &mut Peers<u64>, now| {
        let target = peers.poll_dial(now)?;
        peers.handle_dialled(target, Dialled::Failed(None, lost()), now, 0);
        Some(target.addr)
    };
    assert_eq!(
        dials(&mut peers, now + SECOND * 100),
        Some(addr(20)),
        "heard of lately"
    );
    assert_eq!(dials(&mut peers, now + SECOND * 111), None);
}

#[test]
fn the_driver_never_waits_for_a_moment_that_has_passed() {
    let now = start();
    let mut peers = node(&[addr(1), addr(2)], now);
    peers.handle_members(vec![member(20, 1), member(5, 1)], now);
    let mut at = now;
    let mut dialled = Vec::new();
    for step in 0..200 {
        while let Some(target) = peers.poll_dial(at) {
            dialled.push(target);
        }
        match peers.next_deadline() {
            Some(next) => {
                assert!(next > at, "step {step}");
                at = next;
            }
            None => at += SECOND,
        }
        if step % 3 == 0 {
            for target in dialled.drain(..) {
                peers.handle_dialled(target, Dialled::Failed(None, lost()), at, step << 58);
            }
        }
    }
}

#[test]
fn members_beyond_the_bound_and_without_an_address_are_ignored() {
    let now = start();
    let mut peers = node(&[], now);
    let nowhere = MemberInfo {
        addr: SocketAddr::from(([0, 0, 0, 0], 5)),
        ..member(19, 1)
    };
    let list = [nowhere]
        .into_iter()
        .chain((20..30).map(|id| member(id, 1)))
        .collect();
    peers.handle_members(list, now);
    assert_eq!(peers.members.len(), 4);
    assert!(!peers.members.contains_key(&NodeId(19)));
}

#[test]
fn a_newer_life_of_a_member_is_dialled_at_its_new_address_at_once() {
    let now = start();
    let mut peers = node(&[], now);
    peers.handle_members(vec![member(20, 2)], now);
    for _ in 0..10 {
        let at = peers.next_deadline().expect("a try");
        let target = peers.poll_dial(at).expect("due");
        peers.handle_dialled(target, Dialled::Failed(None, lost()), at, u64::MAX);
    }
    let later = now + SECOND * 30;
    let moved = MemberInfo {
        addr: addr(99),
        ..member(20, 3)
    };
    peers.handle_members(vec![moved, member(20, 1)], later);
    assert!(
        peers
            .poll_dial(later)
            .is_some_and(|target| target.addr == addr(99))
    );
}

#[test]
fn a_member_that_left_is_dropped_and_its_seed_is_tried_later() {
    let now = start();
    let mut peers = node(&[addr(20)], now);
    assert_eq!(admit(&mut peers, candidate(20, 1), 1, now), Admission::Up);
    let version = peers.version();
    assert_eq!(peers.linked_members(), [member(20, 1)]);
    peers.handle_ended(&1, &LinkDown::new(Code::NodeLeaving, ""), now, 0);
    assert_ne!(peers.version(), version);
    assert_eq!(peers.members.len(), 0);
    assert!(peers.poll_dial(now + SECOND).is_some());
}

#[test]
fn dials_under_way_at_once_are_bounded() {
    let now = start();
    let seeds: Vec<_> = (1..100).map(addr).collect();
    let mut peers = node(&seeds, now);
    let first = peers.poll_dial(now).expect("due");
    assert_eq!(
        std::iter::from_fn(|| peers.poll_dial(now)).count(),
        DIALS_MAX - 1
    );
    assert_eq!(
        peers.next_deadline(),
        None,
        "the end of a dial is what is waited for"
    );
    peers.handle_dialled(first, Dialled::Failed(None, lost()), now, 0);
    assert!(peers.poll_dial(now).is_some());
}
