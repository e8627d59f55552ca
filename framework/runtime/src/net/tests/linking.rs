//! How links come up, go down and come back.

use callboard_protocol::code::Code;

use super::*;

#[tokio::test]
async fn two_nodes_link_up_and_know_each_other() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    let (to_b, to_a) = (a.seen.linked("b").await, b.seen.linked("a").await);
    assert_eq!(to_b.peer().addr, Some(b.addr()));
    assert_eq!(to_a.peer().addr, Some(a.addr()));
    assert_eq!(*a.net.links(), [to_b]);
    assert_eq!(a.net.members().len(), 1);
    b.net.first_link(PATIENCE).await.expect("linked");
}

#[tokio::test]
async fn a_client_links_with_every_node_through_one_seed() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    a.seen.linked("b").await;
    let one = Start::new(client(&shop, "c")).seeds(&[a.addr()]).go();
    // Many processes may run with one client certificate.
    let two = Start {
        incarnation: 2,
        ..Start::new(client(&shop, "c"))
    }
    .seeds(&[b.addr()])
    .go();
    for client in [&one, &two] {
        client.seen.linked("a").await;
        client.seen.linked("b").await;
    }
    for node in [&a, &b] {
        node.seen
            .wait("two clients", |seen| {
                let is_client = |link: &&Arc<Link>| link.peer().name.as_str() == "c";
                (seen.links.values().filter(is_client).count() == 2).then_some(())
            })
            .await;
        assert_eq!(node.net.members().len(), 1, "clients are no members");
    }
}

#[tokio::test]
async fn simultaneous_dials_end_with_one_link_that_both_sides_see() {
    let shop = authority("shop");
    for round in 0..20 {
        // Both dial as soon as they start, because each has the other as a seed.
        let first = std::net::UdpSocket::bind(loopback(0)).expect("a port");
        let second = std::net::UdpSocket::bind(loopback(0)).expect("a port");
        let addrs = [&first, &second].map(|socket| socket.local_addr().expect("its address"));
        drop((first, second));
        let a = Start {
            listen: addrs[0],
            ..Start::new(node(&shop, "a"))
        };
        let b = Start {
            listen: addrs[1],
            ..Start::new(node(&shop, "b"))
        };
        let (a, b) = (a.seeds(&addrs[1..]).go(), b.seeds(&addrs[..1]).go());
        let (to_b, to_a) = (a.seen.linked("b").await, b.seen.linked("a").await);
        // A frame each way shows that the two ends belong together.
        to_b.append(0, |out| put(out, b"from a")).expect("appended");
        to_a.append(0, |out| put(out, b"from b")).expect("appended");
        for (seen, text) in [(&a.seen, &b"from b"[..]), (&b.seen, b"from a")] {
            seen.wait("frame", |seen| {
                let is_it =
                    |event: &Event| matches!(event, Event::Frame { frame, .. } if frame == text);
                seen.events.iter().any(is_it).then_some(())
            })
            .await;
        }
        assert_eq!((a.seen.ups(), b.seen.ups()), (1, 1), "round {round}");
        assert!(to_a.is_up() && to_b.is_up(), "round {round}");
    }
}

#[tokio::test]
async fn nodes_given_one_seed_find_all_others() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let seed = [a.addr()];
    let others = ["b", "c", "d"].map(|name| Start::new(node(&shop, name)).seeds(&seed).go());
    let all: Vec<&Peer> = [&a].into_iter().chain(&others).collect();
    for peer in &all {
        for name in ["a", "b", "c", "d"] {
            if peer.name() != name {
                peer.seen.linked(name).await;
            }
        }
        let members = peer.net.members();
        assert_eq!(members.len(), 3);
        assert!(members.is_sorted_by_key(|member| member.id));
    }
}

#[tokio::test]
async fn a_node_that_has_itself_as_a_seed_links_with_the_others() {
    let shop = authority("shop");
    let port = std::net::UdpSocket::bind(loopback(0)).expect("a port");
    let listen = port.local_addr().expect("its address");
    drop(port);
    let a = Start {
        listen,
        ..Start::new(node(&shop, "a"))
    };
    let a = a.seeds(&[listen]).go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    a.seen.linked("b").await;
    b.seen.linked("a").await;
    assert_eq!(a.seen.ups(), 1);
}

#[tokio::test]
async fn a_node_that_restarts_on_its_port_is_linked_again_as_a_new_incarnation() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let seed = [a.addr()];
    let b = Start::new(node(&shop, "b")).seeds(&seed).go();
    let listen = b.addr();
    let old = a.seen.linked("b").await;
    b.net.close("restart", Duration::from_secs(1)).await;
    assert_eq!(
        a.seen.down().await,
        LinkDown::new(Code::NodeLeaving, "restart")
    );
    assert!(old.is_leaving());
    drop(b);
    let again = Start {
        listen,
        incarnation: 2,
        ..Start::new(node(&shop, "b"))
    }
    .seeds(&seed)
    .go();
    let new = a.seen.linked("b").await;
    assert_eq!(new.peer().incarnation, Incarnation(2));
    assert!(new.session() > old.session());
    again.seen.linked("a").await;
}

#[tokio::test]
async fn a_killed_node_that_is_back_is_noticed_before_the_timeout() {
    let shop = authority("shop");
    let patient = || Config {
        peer_timeout: PATIENCE * 3,
        ..quick()
    };
    let a = Start {
        config: patient(),
        ..Start::new(node(&shop, "a"))
    }
    .go();
    let b = Start {
        config: patient(),
        ..Start::new(node(&shop, "b"))
    }
    .seeds(&[a.addr()])
    .go();
    let (listen, old) = (b.addr(), a.seen.linked("b").await);
    b.kill().await;
    assert!(old.is_up());
    // It knows of nobody: the other side has to find that the old connection is gone.
    let again = Start {
        listen,
        incarnation: 2,
        ..Start::new(node(&shop, "b"))
    }
    .go();
    let why = a.seen.down().await;
    assert_eq!(why.code, Code::PeerLost, "{why}");
    // One that stood still and has closed the link answers the same.
    assert_eq!(why.loss, Loss::Forgotten, "{why}");
    assert_eq!(a.seen.linked("b").await.peer().incarnation, Incarnation(2));
    again.seen.linked("a").await;
}

#[tokio::test]
async fn a_node_that_leaves_says_so_and_keeps_its_links_until_it_closes() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    let (to_b, to_a) = (a.seen.linked("b").await, b.seen.linked("a").await);
    b.net.leave().await;
    // Control goes first, so the frame is behind it.
    to_a.append(0, |out| put(out, b"last words"))
        .expect("still up");
    let frames = |event: &Event| matches!(event, Event::Frame { .. });
    a.seen
        .wait("frame", |seen| seen.events.iter().any(frames).then_some(()))
        .await;
    let left = tokio::time::timeout(PATIENCE, async {
        while !to_b.is_leaving() {
            tokio::task::yield_now().await;
        }
    });
    left.await.expect("told");
    assert!(to_b.is_up());
    let late = Start::new(node(&shop, "c")).seeds(&[b.addr()]).go();
    let error = late.net.first_link(Duration::from_millis(200)).await;
    assert_eq!(
        error.map_err(|error| error.code()),
        Err(Code::SeedUnreachable)
    );
}

#[tokio::test]
async fn a_newer_incarnation_replaces_the_link_of_one_that_never_said_goodbye() {
    let shop = authority("shop");
    for (first, second) in [("a", "b"), ("b", "a")] {
        let a = Start::new(node(&shop, first)).go();
        let seed = [a.addr()];
        let _old = Start::new(node(&shop, second)).seeds(&seed).go();
        let old_link = a.seen.linked(second).await;
        let new = Start {
            incarnation: 2,
            ..Start::new(node(&shop, second))
        }
        .seeds(&seed)
        .go();
        new.seen.linked(first).await;
        let events = a
            .seen
            .wait("second link", |seen| {
                (seen.events.len() >= 3).then(|| seen.events.clone())
            })
            .await;
        let order = |event: &Event| match event {
            Event::Up { session, .. } => ("up", *session),
            Event::Down { session, .. } => ("down", *session),
            Event::Frame { session, .. } => ("frame", *session),
        };
        let old = old_link.session();
        assert_eq!(order(&events[0]), ("up", old));
        assert_eq!(
            order(&events[1]),
            ("down", old),
            "the old one is down before the new one is up"
        );
        assert_eq!(order(&events[2]).0, "up");
    }
}

#[tokio::test]
async fn the_older_of_two_processes_is_linked_again_when_the_newer_is_killed() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let seed = [a.addr()];
    let b = |incarnation| {
        let start = Start {
            incarnation,
            ..Start::new(node(&shop, "b"))
        };
        start.seeds(&seed).go()
    };
    let older = b(1);
    a.seen.linked("b").await;
    let newer = b(2);
    newer.seen.linked("a").await;
    let late = Start::new(client(&shop, "c")).seeds(&seed).go();
    let to_newer = late.seen.linked("b").await;
    assert_eq!(to_newer.peer().incarnation, Incarnation(2));
    newer.kill().await;
    let is_older = |link: &&Arc<Link>| {
        link.is_up()
            && (link.peer().incarnation, link.peer().addr) == (Incarnation(1), Some(older.addr()))
    };
    for peer in [&a, &late] {
        peer.seen
            .wait("link to the older", |seen| {
                let mut to_b = seen
                    .links
                    .values()
                    .filter(|link| link.peer().name.as_str() == "b");
                to_b.any(|link| is_older(&link) && link.session() > 1)
                    .then_some(())
            })
            .await;
    }
}

#[tokio::test]
async fn a_peer_that_is_gone_without_a_word_is_noticed_by_the_timeout() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let identity = client(&shop, "b");
    let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
    let _control = rogue.say_hello(hello_of(&identity)).await;
    a.seen.linked("b").await;
    rogue.vanish().await;
    assert_eq!(a.seen.down().await.code, Code::PeerTimeout);
}

#[tokio::test]
async fn closing_sends_what_is_in_the_lanes_first() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    let to_a = b.seen.linked("a").await;
    let body = vec![7; 60_000];
    for _ in 0..50 {
        to_a.append(0, |out| put(out, &body)).expect("room");
    }
    b.net.close("done", PATIENCE).await;
    assert_eq!(a.seen.down().await.code, Code::NodeLeaving);
    let frames = |event: &&Event| matches!(event, Event::Frame { .. });
    assert_eq!(
        a.seen
            .look(|seen| seen.events.iter().filter(frames).count()),
        50
    );
    assert!(matches!(
        a.seen.look(|seen| seen.events.last().cloned()),
        Some(Event::Down { .. })
    ));
    assert_eq!(
        b.seen.down().await,
        LinkDown::new(Code::NodeLeaving, "done")
    );
}

#[tokio::test]
async fn closing_waits_for_no_peer_that_does_not_answer() {
    // Nothing is read from it.
    let silent = std::net::UdpSocket::bind(loopback(0)).expect("a port");
    let seed = [silent.local_addr().expect("its address")];
    let config = Config {
        // What a peer that stood still does to the measured one.
        initial_rtt: Duration::from_secs(5),
        dial_timeout: PATIENCE,
        ..quick()
    };
    let a = Start {
        config,
        ..Start::new(node(&authority("shop"), "a"))
    };
    let a = a.seeds(&seed).go();
    let dialled = tokio::task::spawn_blocking(move || silent.recv(&mut [0; 2000]));
    dialled.await.expect("joins").expect("a packet");
    let begun = std::time::Instant::now();
    a.net.close("done", PATIENCE).await;
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

fn put(out: &mut Vec<u8>, body: &[u8]) -> Result<(), std::convert::Infallible> {
    out.extend_from_slice(body);
    Ok(())
}

#[tokio::test]
async fn a_node_that_leaves_hears_from_each_peer_that_it_has_taken_that_in() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    let silent = client(&shop, "silent");
    let rogue = Rogue::dial(&silent, a.addr()).await.expect("TLS");
    let mut control = rogue.say_hello(hello_of(&silent)).await;
    a.seen.linked("b").await;
    a.seen.linked("silent").await;
    a.net.leave().await;
    // It has read nothing, or says so.
    let briefly = Duration::from_millis(50);
    assert!(!a.net.heard_by_all(briefly).await);
    let heard = a.net.heard_by_all(PATIENCE);
    tokio::pin!(heard);
    tokio::time::timeout(briefly, &mut heard)
        .await
        .expect_err("one has not answered");
    assert!(b.net.links().iter().all(|link| link.is_leaving()));
    let mut pong = Vec::new();
    Control::Pong(2)
        .encode(&mut pong, &quick().limits)
        .expect("encodes");
    control.write_all(&pong).await.expect("written");
    assert!(heard.await);
}
