use std::collections::BTreeSet;

use callboard_protocol::wire::control::{Control, Namesake};

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

fn client(incarnation: u64) -> Candidate {
    Candidate {
        kind: PeerKind::Client,
        addr: None,
        ..candidate(5, incarnation)
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

fn met(id: u64, incarnation: u64) -> Met {
    Met {
        id: NodeId(id),
        name: name(id),
        incarnation: Incarnation(incarnation),
        kind: PeerKind::Node,
    }
}

/// A node with a link, numbered 40, to node 40, which is the one to tell it of others.
fn node_with_a_teller(now: Instant) -> Peers<u64> {
    let mut peers = node(&[], now);
    assert_eq!(admit(&mut peers, candidate(40, 1), 40, now), Admission::Up);
    peers
}

fn tell(peers: &mut Peers<u64>, list: Vec<MemberInfo>, now: Instant) {
    peers.handle_members(NodeId(40), list, now);
}

/// Dials what is due, which fails, and returns its address.
fn dial_in_vain(peers: &mut Peers<u64>, now: Instant) -> Option<SocketAddr> {
    let target = peers.poll_dial(now)?;
    peers.handle_dialled(target, Dialled::Failed(lost().into()), now, 0);
    Some(target.addr)
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
fn links_settle_when_every_known_node_is_linked_or_was_dialled_in_vain() {
    let now = start();
    assert!(!node(&[], now).is_settling(), "it knows nobody");
    let mut peers = node(&[addr(30)], now);
    assert!(peers.is_settling(), "its seed");
    assert!(!peers.awaits_named(), "nobody has named it");
    assert_eq!(dial_in_vain(&mut peers, now), Some(addr(30)));
    assert!(!peers.is_settling(), "its seed does not answer");
    admit(&mut peers, candidate(40, 1), 40, now);
    tell(&mut peers, vec![member(40, 1), member(30, 1)], now);
    assert!(!peers.is_settling(), "the address was dialled, as a seed");
    tell(&mut peers, vec![member(40, 1), member(50, 1)], now);
    assert!(peers.is_settling(), "one was heard of");
    assert!(peers.awaits_named(), "by name");
    admit(&mut peers, candidate(50, 1), 50, now);
    assert!(!peers.is_settling(), "it is linked");
    assert!(!peers.awaits_named());
    peers.handle_ended(&50, &lost(), now, 0);
    assert!(!peers.is_settling(), "it was linked, and is lost");
}

#[test]
fn a_member_that_only_the_control_group_knows_is_dialled_until_it_is_one_no_more() {
    let now = start();
    let mut peers = node_with_a_teller(now);
    tell(&mut peers, vec![member(50, 2)], now);
    assert_eq!(dial_in_vain(&mut peers, now), Some(addr(50)));
    let moved = MemberInfo {
        addr: addr(99),
        ..member(50, 1)
    };
    peers.handle_known(vec![member(10, 1), moved, member(60, 1)], now);
    assert_eq!(dial_in_vain(&mut peers, now), Some(addr(60)));
    let info = |peers: &Peers<u64>, id| peers.members.get(&NodeId(id)).map(|it| it.info.addr);
    assert_eq!(
        info(&peers, 50),
        Some(addr(50)),
        "who is linked knows better"
    );
    assert_eq!(info(&peers, 10), None, "that is this node");
    let later = now + Config::default().member_forget * 2;
    peers.forget(later);
    assert_eq!(info(&peers, 60), Some(addr(60)));
    peers.handle_known(
        vec![
            member(60, 1),
            MemberInfo {
                addr: addr(61),
                ..member(60, 1)
            },
        ],
        later,
    );
    assert_eq!(info(&peers, 60), Some(addr(61)), "it has moved");
    peers.handle_known(Vec::new(), later);
    peers.forget(later + Config::default().member_forget);
    assert_eq!(info(&peers, 60), None);
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
fn clients_leave_room_for_nodes() {
    let now = start();
    let mut peers = node(&[], now);
    for incarnation in 1..4 {
        let admitted = admit(&mut peers, client(incarnation), incarnation, now);
        assert_eq!(admitted, Admission::Up);
    }
    let fourth = admit(&mut peers, client(4), 4, now);
    assert_eq!(refusal(fourth), Code::TooManyPeers);
    // One that is linked may still be replaced.
    let again = peers.handle_candidate(client(3), 4, |_| false, now);
    assert!(matches!(again, Admission::After(3, _)), "{again:?}");
    assert_eq!(admit(&mut peers, candidate(20, 1), 5, now), Admission::Up);
    let one_more = admit(&mut peers, candidate(21, 1), 6, now);
    assert_eq!(refusal(one_more), Code::TooManyPeers);
}

#[test]
fn a_client_that_says_it_listens_where_a_seed_is_keeps_nobody_from_the_seed() {
    let now = start();
    let mut peers = node(&[addr(1)], now);
    let liar = Candidate {
        addr: Some(addr(1)),
        ..client(1)
    };
    assert_eq!(admit(&mut peers, liar, 1, now), Admission::Up);
    assert_eq!(
        peers.poll_dial(now).map(|target| target.addr),
        Some(addr(1))
    );
}

#[test]
fn a_seed_is_dialled_until_it_is_linked_and_again_when_it_is_lost() {
    let now = start();
    let mut peers = node(&[addr(1)], now);
    assert_eq!(peers.next_deadline(), Some(now));
    let target = peers.poll_dial(now).expect("due");
    assert_eq!(target.addr, addr(1));
    assert_eq!(peers.poll_dial(now), None, "it is being dialled");
    peers.handle_dialled(target, Dialled::Failed(lost().into()), now, 0);
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
fn a_seed_that_is_taken_away_is_not_dialled_again() {
    let now = start();
    let mut peers = node(&[addr(1), addr(2)], now);
    let target = peers.poll_dial(now).expect("due");
    peers.forget_seed(target.addr);
    peers.handle_dialled(target, Dialled::Failed(lost().into()), now, 0);
    let other = peers.poll_dial(now).expect("the other one");
    assert_ne!(other.addr, target.addr);
    peers.handle_dialled(other, Dialled::Failed(lost().into()), now, 0);
    let later = now + 10 * SECOND;
    assert_eq!(
        peers.poll_dial(later).map(|again| again.addr),
        Some(other.addr)
    );
    assert_eq!(peers.poll_dial(later), None);
    assert_eq!(peers.seed_failures().len(), 1);
}

#[test]
fn waits_double_up_to_their_limit_with_jitter() {
    let now = start();
    let peers = node(&[], now);
    let most = |attempt| peers.settings.backoff.wait(attempt, u64::MAX);
    let least = |attempt| peers.settings.backoff.wait(attempt, 0);
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
    let refused = |incarnation| Refused {
        peer: Some(met(10, incarnation)),
        by_peer: false,
        why: LinkDown::new(Code::DuplicateNode, ""),
    };
    assert_eq!(peers.seed_trouble(), None);
    peers.handle_dialled(target, Dialled::Failed(refused(1)), now, 0);
    let own = Notice::SeedOwn { addr: addr(1) };
    assert_eq!(peers.poll_notice(), Some(own));
    let trouble = peers.seed_trouble().expect("only its own address");
    let why = format!("the only seed, {}, is this node itself", addr(1));
    assert_eq!(trouble.why, why);
    assert_eq!(peers.poll_notice(), None);
    assert_eq!(peers.next_deadline(), None);
    assert_eq!(peers.refused_by_all(), None);
    // Another process with this node's name is a refusal.
    let mut peers = node(&[addr(1)], now);
    let target = peers.poll_dial(now).expect("due");
    peers.handle_dialled(target, Dialled::Failed(refused(2)), now, 0);
    assert_eq!(peers.refused_by_all(), Some((addr(1), refused(2).why)));
    let (addr, incarnation) = (addr(1), Incarnation(2));
    let namesake = Notice::Namesake(Namesake { incarnation, addr });
    assert_eq!(peers.poll_notice(), Some(namesake));
}

#[test]
fn a_member_whose_old_address_is_the_nodes_own_is_dialled_at_its_new_one_and_forgotten() {
    let now = start();
    let own = || Refused {
        peer: Some(met(10, 1)),
        by_peer: false,
        why: LinkDown::new(Code::DuplicateNode, ""),
    };
    let mut peers = node_with_a_teller(now);
    tell(&mut peers, vec![member(20, 1)], now);
    let target = peers.poll_dial(now).expect("due");
    peers.handle_dialled(target, Dialled::Failed(own()), now, 0);
    let moved = MemberInfo {
        addr: addr(99),
        ..member(20, 1)
    };
    tell(&mut peers, vec![moved], now + SECOND);
    let target = peers.poll_dial(now + SECOND).expect("its new address");
    assert_eq!(target.addr, addr(99));
    peers.handle_dialled(target, Dialled::Failed(own()), now + SECOND, 0);
    tell(&mut peers, vec![], now + SECOND);
    let _ = peers.poll_dial(now + SECOND * 62);
    assert!(!peers.members.contains_key(&NodeId(20)));
}

#[test]
fn members_that_do_not_answer_leave_the_others_their_turn() {
    let now = start();
    let mut peers = node(&[], now);
    peers.settings.members_max = 1000;
    assert_eq!(admit(&mut peers, candidate(40, 1), 40, now), Admission::Up);
    let dead: BTreeSet<_> = (100..300).collect();
    tell(
        &mut peers,
        dead.iter().map(|id| member(*id, 1)).collect(),
        now,
    );
    let mut dialled = BTreeSet::new();
    let mut under_way = VecDeque::new();
    for second in 0..120 {
        let at = now + SECOND * second;
        while let Some((since, _)) = under_way.front()
            && *since + SECOND * 5 <= at
            && let Some((_, target)) = under_way.pop_front()
        {
            peers.handle_dialled(target, Dialled::Failed(lost().into()), at, 0);
        }
        while let Some(target) = peers.poll_dial(at) {
            dialled.extend(target.member.map(|id| id.0));
            under_way.push_back((at, target));
        }
    }
    assert_eq!(dialled, dead);
}

#[test]
fn members_that_are_heard_of_are_dialled_and_forgotten_in_time() {
    let now = start();
    let mut peers = node_with_a_teller(now);
    tell(
        &mut peers,
        vec![member(10, 1), member(20, 1), member(5, 1)],
        now,
    );
    // This node decides about 20, and leaves the first try to 5.
    assert_eq!(dial_in_vain(&mut peers, now), Some(addr(20)));
    assert_eq!(peers.poll_dial(now), None);
    // The longest due comes first.
    for id in [20, 5] {
        assert_eq!(dial_in_vain(&mut peers, now + SECOND), Some(addr(id)));
    }
    // For as long as another is linked with it, it is not forgotten.
    for hour in 1..4 {
        assert!(dial_in_vain(&mut peers, now + SECOND * 3600 * hour).is_some());
        assert_eq!(peers.members.len(), 3);
    }
    let later = now + SECOND * 20_000;
    tell(&mut peers, vec![member(20, 1)], later);
    peers.handle_ended(&40, &lost(), later + SECOND, 0);
    for (after, left) in [(59, 3), (60, 2), (62, 0)] {
        while dial_in_vain(&mut peers, later + SECOND * after).is_some() {}
        assert_eq!(peers.members.len(), left, "after {after} s");
    }
}

#[test]
fn an_older_process_is_dialled_once_nobody_is_linked_with_the_newer() {
    let (now, left) = (start(), LinkDown::new(Code::NodeLeaving, ""));
    let moved = || MemberInfo {
        addr: addr(99),
        ..member(20, 2)
    };
    for why in [lost(), left] {
        for teller_is_first in [true, false] {
            let mut peers = node_with_a_teller(now);
            tell(&mut peers, vec![moved()], now);
            let newer = Candidate {
                addr: Some(addr(99)),
                ..candidate(20, 2)
            };
            assert_eq!(admit(&mut peers, newer, 1, now), Admission::Up);
            // The newer one ends. The teller takes the older one back, before or after this node
            // has found out.
            if teller_is_first {
                tell(&mut peers, vec![member(20, 1)], now);
                peers.handle_ended(&1, &why, now, 0);
            } else {
                peers.handle_ended(&1, &why, now, 0);
                tell(&mut peers, vec![], now + SECOND);
                tell(&mut peers, vec![member(20, 1)], now + SECOND);
            }
            assert_eq!(dial_in_vain(&mut peers, now + SECOND), Some(addr(20)));
        }
    }
}

#[test]
fn late_news_of_an_earlier_life_changes_nothing_while_another_says_otherwise() {
    let now = start();
    let mut peers = node_with_a_teller(now);
    assert_eq!(admit(&mut peers, candidate(41, 1), 41, now), Admission::Up);
    let moved = MemberInfo {
        addr: addr(99),
        ..member(20, 2)
    };
    tell(&mut peers, vec![moved], now);
    peers.handle_members(NodeId(41), vec![member(20, 1)], now);
    assert_eq!(dial_in_vain(&mut peers, now), Some(addr(99)));
    // The one that said otherwise is gone.
    peers.handle_ended(&40, &lost(), now, 0);
    let dialled: Vec<_> = std::iter::from_fn(|| dial_in_vain(&mut peers, now + SECOND)).collect();
    assert!(dialled.contains(&addr(20)), "{dialled:?}");
}

#[test]
fn a_seed_that_does_not_answer_is_told_less_and_less_often_and_once_more_when_it_does() {
    let now = start();
    let mut peers = node(&[addr(1)], now);
    let mut told = Vec::new();
    for second in 0..20_000 {
        let at = now + SECOND * second;
        dial_in_vain(&mut peers, at);
        while let Some(notice) = peers.poll_notice() {
            assert!(matches!(notice, Notice::SeedFails { .. }), "{notice:?}");
            told.push(second);
        }
    }
    assert_eq!(told.len(), 11, "{told:?}");
    assert!(told[0] == 0 && told[1].abs_diff(60) < 6, "{told:?}");
    assert!((told[10] - told[9]).abs_diff(3600) < 6, "{told:?}");
    let at = now + SECOND * 20_001;
    assert_eq!(admit(&mut peers, candidate(1, 1), 1, at), Admission::Up);
    let linked = Notice::SeedLinked { addr: addr(1) };
    assert_eq!(peers.poll_notice(), Some(linked));
    assert_eq!(peers.poll_notice(), None);
}

#[test]
fn what_a_seed_has_said_is_told_though_it_says_nothing_any_more() {
    let now = start();
    let mut peers = node(&[addr(1)], now);
    let silent = LinkDown::new(Code::PeerTimeout, "nothing answered");
    let leaving = LinkDown::new(Code::NodeLeaving, "it is stopping");
    let mut at = now;
    let mut fail = |peers: &mut Peers<u64>, why: &LinkDown| {
        at = at.max(peers.next_deadline().expect("due"));
        let target = peers.poll_dial(at).expect("due");
        peers.handle_dialled(target, Dialled::Failed(why.clone().into()), at, 0);
    };
    fail(&mut peers, &silent);
    assert_eq!(peers.seed_trouble(), None);
    assert_eq!(peers.seed_failures(), [(addr(1), silent.clone())]);
    fail(&mut peers, &leaving);
    assert_eq!(peers.seed_failures(), [(addr(1), leaving.clone())]);
    for _ in 0..2 {
        fail(&mut peers, &silent);
        let (_, why) = peers.seed_failures().remove(0);
        assert_eq!(why.code, Code::PeerTimeout);
        let detail = format!("nothing answered; before that: {leaving}");
        assert_eq!(why.detail, detail);
    }
    let trouble = peers.seed_trouble().expect("it was stopping");
    assert_eq!(
        trouble.why,
        format!("seed {} gives no link ({leaving})", addr(1))
    );
    assert_eq!(trouble.advice, "start it again, or name another seed");
}

#[test]
fn both_sides_of_a_refused_name_have_it_told_once() {
    let now = start();
    let mut peers = node_with_a_teller(now);
    let mut refused = Refused {
        peer: Some(met(40, 0)),
        by_peer: false,
        why: peers.refusal(&candidate(40, 0)).expect("an older life"),
    };
    for _ in 0..3 {
        peers.handle_refused(addr(7), &refused, now);
    }
    let twice = peers.poll_notice();
    let older = Namesake {
        incarnation: Incarnation(0),
        addr: addr(7),
    };
    assert!(
        matches!(&twice, Some(Notice::NameTwice { refused, .. }) if *refused == older),
        "{twice:?}"
    );
    let word = twice.as_ref().and_then(Notice::word);
    let told = (NodeId(40), Control::Namesake(older));
    assert_eq!(word, Some(told), "the one that is linked hears of it");
    assert_eq!(peers.poll_notice(), None);
    refused.by_peer = true;
    for _ in 0..3 {
        peers.handle_refused(addr(7), &refused, now);
    }
    let taken = |why: &LinkDown| Notice::NameTaken {
        by: addr(7),
        name: None,
        why: why.clone(),
        had_links: true,
    };
    assert_eq!(peers.poll_notice(), Some(taken(&refused.why)));
    assert_eq!(peers.poll_notice(), None);
    // A third process of the name is another one, and there is an end to how many are told of.
    for incarnation in 2..100 {
        refused.why.detail = format!("another process named n10 (incarnation {incarnation})");
        for _ in 0..2 {
            peers.handle_refused(addr(7), &refused, now);
        }
        let told = (incarnation < 17).then(|| taken(&refused.why));
        assert_eq!(peers.poll_notice(), told);
        assert_eq!(peers.poll_notice(), None);
    }
    // It is linked again, and may be refused again.
    assert_eq!(admit(&mut peers, candidate(50, 1), 50, now), Admission::Up);
    let back = Notice::NameBack { by: name(50) };
    assert_eq!(peers.poll_notice(), Some(back));
    assert_eq!(peers.poll_notice(), None);
}

#[test]
fn a_seed_is_dialled_where_a_later_process_of_its_nodes_name_is_linked_from_elsewhere() {
    for still_runs in [true, false] {
        let now = start();
        let mut peers = node(&[addr(40)], now);
        let target = peers.poll_dial(now).expect("due");
        assert_eq!(admit(&mut peers, candidate(40, 1), 40, now), Admission::Up);
        peers.handle_dialled(target, Dialled::Linked(NodeId(40)), now, 0);
        peers.handle_ended(&40, &lost(), now, 0);
        let elsewhere = Candidate {
            addr: Some(addr(41)),
            ..candidate(40, 2)
        };
        assert_eq!(admit(&mut peers, elsewhere, 41, now), Admission::Up);
        while peers.poll_notice().is_some() {}
        let now = now + SECOND * 10;
        let target = peers.poll_dial(now).expect("it may run there too");
        assert_eq!(target.addr, addr(40));
        let why = match still_runs {
            true => peers.refusal(&candidate(40, 1)).expect("an older life"),
            false => lost(),
        };
        let refused = Refused {
            peer: still_runs.then(|| met(40, 1)),
            by_peer: false,
            why,
        };
        peers.handle_dialled(target, Dialled::Failed(refused), now, 0);
        let told = peers.poll_notice();
        assert_eq!(
            matches!(told, Some(Notice::NameTwice { .. })),
            still_runs,
            "{told:?}"
        );
        assert_eq!(peers.poll_notice(), None);
        let later = peers.poll_dial(now + SECOND * 3600);
        assert_eq!(later.is_some(), still_runs, "nobody is there any more");
    }
}

#[test]
fn a_node_that_took_over_the_links_of_another_of_its_name_is_told_once_in_a_while() {
    let now = start();
    let mut peers = node_with_a_teller(now);
    let from = Namesake {
        incarnation: Incarnation(0),
        addr: addr(7),
    };
    for _ in 0..3 {
        peers.handle_namesake(name(40), from, now);
        peers.handle_namesake(name(50), from, now);
    }
    let by = name(40);
    assert_eq!(peers.poll_notice(), Some(Notice::TookOver { by, from }));
    assert_eq!(peers.poll_notice(), None);
    peers.handle_namesake(name(50), from, now + SECOND * 60);
    let by = name(50);
    assert_eq!(peers.poll_notice(), Some(Notice::TookOver { by, from }));
}

#[test]
fn a_seed_whose_node_left_in_order_is_told_as_such_until_one_is_linked_there() {
    let leaving = LinkDown::new(Code::NodeLeaving, "it is stopping");
    // It was dialled, or has dialled this node.
    for dialled in [true, false] {
        let now = start();
        let mut peers = node(&[addr(40)], now);
        let target = peers.poll_dial(now).expect("due");
        assert_eq!(admit(&mut peers, candidate(40, 1), 40, now), Admission::Up);
        let result = match dialled {
            true => Dialled::Linked(NodeId(40)),
            false => Dialled::Failed(LinkDown::new(Code::LinkSuperseded, "").into()),
        };
        peers.handle_dialled(target, result, now, 0);
        peers.handle_ended(&40, &leaving, now, 0);
        let now = now + SECOND * 10;
        assert_eq!(dial_in_vain(&mut peers, now), Some(addr(40)));
        let left = Notice::SeedLeft {
            addr: addr(40),
            name: name(40),
        };
        assert_eq!(peers.poll_notice(), Some(left));
        // Back, and lost without a word.
        assert_eq!(admit(&mut peers, candidate(40, 2), 41, now), Admission::Up);
        let linked = Notice::SeedLinked { addr: addr(40) };
        assert_eq!(peers.poll_notice(), Some(linked));
        peers.handle_ended(&41, &lost(), now, 0);
        let now = now + SECOND * 10;
        assert_eq!(dial_in_vain(&mut peers, now), Some(addr(40)));
        let fails = peers.poll_notice();
        assert!(matches!(fails, Some(Notice::SeedFails { .. })), "{fails:?}");
    }
}

#[test]
fn a_displaced_node_is_told_so_though_the_close_overtook_the_hello() {
    let why = LinkDown::new(Code::DuplicateNode, "another process named n10");
    let unnamed = Refused {
        peer: None,
        by_peer: true,
        why: why.clone(),
    };
    let superseded = LinkDown::new(Code::LinkSuperseded, "by a link to incarnation 2");
    let taken = Notice::NameTaken {
        by: addr(40),
        name: Some(name(40)),
        why: why.clone(),
        had_links: true,
    };
    // As a seed that it has dialled, as one that has dialled it, and as a node that it was told of.
    for (seeds, dials) in [
        (&[addr(40)] as &[_], true),
        (&[addr(40)], false),
        (&[], false),
    ] {
        let now = start();
        let mut peers = node(seeds, now);
        let target = dials.then(|| peers.poll_dial(now)).flatten();
        assert_eq!(admit(&mut peers, candidate(40, 1), 40, now), Admission::Up);
        if let Some(target) = target {
            peers.handle_dialled(target, Dialled::Linked(NodeId(40)), now, 0);
        }
        peers.handle_ended(&40, &superseded, now, 0);
        let now = now + SECOND;
        let target = peers.poll_dial(now).expect("due");
        peers.handle_dialled(target, Dialled::Failed(unnamed.clone()), now, 0);
        assert_eq!(peers.poll_notice(), Some(taken.clone()));
        // The next refusal is nothing new.
        let now = now + SECOND * 10;
        let target = peers.poll_dial(now).expect("due");
        peers.handle_dialled(target, Dialled::Failed(unnamed.clone()), now, 0);
        assert_eq!(peers.poll_notice(), None);
    }
    // Who is at an address that never answered may be this node itself, which the next dial shows.
    let mut now = start();
    let mut peers = node(&[addr(40)], now);
    for is_told in [false, true] {
        let target = peers.poll_dial(now).expect("due");
        peers.handle_dialled(target, Dialled::Failed(unnamed.clone()), now, 0);
        let told = is_told.then(|| Notice::NameTaken {
            by: addr(40),
            name: None,
            why: why.clone(),
            had_links: false,
        });
        assert_eq!(peers.poll_notice(), told);
        now += SECOND * 3600;
    }
}

#[test]
fn the_driver_never_waits_for_a_moment_that_has_passed() {
    let now = start();
    let mut peers = node(&[addr(1), addr(2)], now);
    assert_eq!(admit(&mut peers, candidate(40, 1), 40, now), Admission::Up);
    tell(&mut peers, vec![member(20, 1), member(5, 1)], now);
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
                peers.handle_dialled(target, Dialled::Failed(lost().into()), at, step << 58);
            }
        }
    }
}

#[test]
fn members_beyond_the_bound_and_without_an_address_are_ignored() {
    let now = start();
    let mut peers = node_with_a_teller(now);
    let nowhere = MemberInfo {
        addr: SocketAddr::from(([0, 0, 0, 0], 5)),
        ..member(19, 1)
    };
    let list = [nowhere]
        .into_iter()
        .chain((20..30).map(|id| member(id, 1)))
        .collect();
    tell(&mut peers, list, now);
    assert_eq!(peers.members.len(), 4);
    assert!(!peers.members.contains_key(&NodeId(19)));
}

#[test]
fn a_newer_life_of_a_member_is_dialled_at_its_new_address_at_once() {
    let now = start();
    let mut peers = node_with_a_teller(now);
    tell(&mut peers, vec![member(20, 2)], now);
    for _ in 0..10 {
        let at = peers.next_deadline().expect("a try");
        let target = peers.poll_dial(at).expect("due");
        peers.handle_dialled(target, Dialled::Failed(lost().into()), at, u64::MAX);
    }
    let later = now + SECOND * 30;
    let moved = MemberInfo {
        addr: addr(99),
        ..member(20, 3)
    };
    tell(&mut peers, vec![moved], later);
    assert!(
        peers
            .poll_dial(later)
            .is_some_and(|target| target.addr == addr(99))
    );
}

#[test]
fn a_node_that_is_back_where_a_seed_is_is_dialled_at_once() {
    let now = start();
    for why in [lost(), LinkDown::new(Code::NodeLeaving, "")] {
        let mut peers = node(&[addr(20)], now);
        assert_eq!(admit(&mut peers, candidate(40, 1), 40, now), Admission::Up);
        assert_eq!(admit(&mut peers, candidate(20, 1), 1, now), Admission::Up);
        tell(&mut peers, vec![member(20, 1)], now);
        tell(&mut peers, Vec::new(), now);
        peers.handle_ended(&1, &why, now, 0);
        let mut later = now;
        for _ in 0..10 {
            later = peers.next_deadline().expect("a try");
            let target = peers.poll_dial(later).expect("due");
            peers.handle_dialled(target, Dialled::Failed(lost().into()), later, u64::MAX);
        }
        assert_eq!(peers.poll_dial(later), None, "it has failed for long");
        tell(&mut peers, vec![member(20, 2)], later);
        let target = peers.poll_dial(later).expect("others are linked with it");
        assert_eq!(target.addr, addr(20));
        // Said again, it is no news.
        peers.handle_dialled(target, Dialled::Failed(lost().into()), later, u64::MAX);
        tell(&mut peers, vec![member(20, 2)], later);
        assert_eq!(peers.poll_dial(later), None);
    }
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
    peers.handle_dialled(first, Dialled::Failed(lost().into()), now, 0);
    assert!(peers.poll_dial(now).is_some());
}

#[test]
fn one_name_gets_some_of_the_places_of_clients_and_the_others_keep_theirs() {
    let now = start();
    let config = Config {
        peers_max: 8,
        client_links_max: 2,
        ..Config::default()
    };
    let me = Me {
        id: NodeId(10),
        incarnation: Incarnation(1),
        kind: PeerKind::Node,
    };
    let mut peers = Peers::new(me, &config, &[], now);
    for life in [0, u64::MAX] {
        assert_eq!(admit(&mut peers, client(life), life, now), Admission::Up);
    }
    let Admission::Refuse(why) = admit(&mut peers, client(7), 7, now) else {
        panic!("a third one is let in");
    };
    assert_eq!(why.code, Code::TooManyPeers);
    assert_eq!(why.detail, "2 of n5 are linked");
    let other = Candidate {
        kind: PeerKind::Client,
        ..candidate(6, 1)
    };
    assert_eq!(admit(&mut peers, other, 61, now), Admission::Up);
    assert_eq!(
        admit(&mut peers, candidate(5, 1), 51, now),
        Admission::Up,
        "nodes have no share in this"
    );
    peers.handle_ended(&0, &lost(), now, 0);
    assert_eq!(admit(&mut peers, client(7), 7, now), Admission::Up);
}

#[test]
fn that_a_lost_node_has_started_again_is_known_from_others_or_when_it_is_linked_again() {
    let now = start();
    let mut peers = node_with_a_teller(now);
    assert_eq!(admit(&mut peers, candidate(20, 1), 1, now), Admission::Up);
    let is_known = |peers: &Peers<u64>| peers.has_later_life(NodeId(20), Incarnation(1));
    tell(&mut peers, vec![member(20, 1)], now);
    assert!(!is_known(&peers), "it is the same life");
    tell(&mut peers, vec![member(20, 2)], now);
    assert!(is_known(&peers), "another is linked with its next life");
    let mut linked = |link: u64, life, is_restarted| {
        peers.handle_ended(&(link - 1), &lost(), now, 0);
        let later = now + SECOND;
        assert_eq!(
            admit(&mut peers, candidate(20, life), link, later),
            Admission::Up
        );
        let again = Notice::LinkedAgain {
            name: name(20),
            lost: SECOND,
            is_restarted,
        };
        assert_eq!(peers.poll_notice(), Some(again));
    };
    linked(2, 2, true);
    // One that merely stood still.
    linked(3, 2, false);
}

#[test]
fn a_client_that_has_the_name_of_a_node_is_told_by_whoever_is_linked_with_both() {
    let now = start();
    // Whichever comes first.
    let namesake = || Candidate {
        kind: PeerKind::Client,
        addr: None,
        ..candidate(20, 7)
    };
    for links in [
        [candidate(20, 1), namesake()],
        [namesake(), candidate(20, 1)],
    ] {
        let mut peers = node_with_a_teller(now);
        let [one, other] = links;
        assert_eq!(admit(&mut peers, one, 1, now), Admission::Up);
        assert_eq!(peers.poll_notice(), None);
        assert_eq!(admit(&mut peers, other, 2, now), Admission::Up);
        let shared = Notice::SharedName { name: name(20) };
        assert_eq!(peers.poll_notice(), Some(shared));
        let another = Candidate {
            incarnation: Incarnation(8),
            ..namesake()
        };
        assert_eq!(admit(&mut peers, another, 3, now), Admission::Up);
        assert_eq!(peers.poll_notice(), None, "it was told just now");
    }
}

#[test]
fn a_client_hears_from_its_seed_of_a_node_that_has_its_name() {
    let now = start();
    for kind in [PeerKind::Client, PeerKind::Node] {
        let me = Me {
            kind,
            ..node(&[], now).me
        };
        let mut peers = Peers::new(me, &Config::default(), &[], now);
        assert_eq!(admit(&mut peers, candidate(40, 1), 40, now), Admission::Up);
        tell(&mut peers, vec![member(50, 1)], now);
        assert_eq!(peers.poll_notice(), None);
        for _ in 0..3 {
            tell(&mut peers, vec![member(50, 1), member(10, 1)], now);
        }
        // A node is itself that node.
        let told = (kind == PeerKind::Client).then(|| Notice::NodeOfOwnName { addr: addr(10) });
        assert_eq!(peers.poll_notice(), told);
        assert_eq!(peers.poll_notice(), None);
    }
}
