//! Refusals have one name on both sides.

use callboard_protocol::code::Code;

use super::*;

/// Waits until a node has counted a refusal.
async fn refused(peer: &Peer, code: Code) {
    let counted = tokio::time::timeout(PATIENCE, async {
        while !peer.net.refusals().contains_key(&code) {
            tokio::task::yield_now().await;
        }
    });
    assert!(
        counted.await.is_ok(),
        "no {code}, but {:?}",
        peer.net.refusals()
    );
}

#[tokio::test]
async fn a_foreign_authority_is_refused_by_both_sides() {
    let a = Start::new(node(&authority("shop"), "a")).go();
    let b = Start::new(node(&authority("shop"), "b"))
        .seeds(&[a.addr()])
        .go();
    let error = b
        .net
        .first_link(PATIENCE)
        .await
        .expect_err("another authority");
    assert_eq!(error.code(), Code::AuthorityUnknown, "{error}");
    let detail = error.detail();
    assert!(detail.starts_with("refused by this side: "), "{error}");
    assert!(!detail.contains("development"), "{error}");
    refused(&a, Code::AuthorityUnknown).await;
    assert_eq!((a.seen.ups(), b.seen.ups()), (0, 0));
}

#[tokio::test]
async fn who_was_given_no_identity_and_is_refused_is_told_so() {
    let a = Start::new(node(&authority("shop"), "a")).go();
    let folder = tempfile::tempdir().expect("a folder for the test");
    let development = Authority::development_in(&*Env::real().files, folder.path());
    let development = development.expect("made");
    let b = Start::new(node(&development, "b")).seeds(&[a.addr()]).go();
    let error = b.net.first_link(PATIENCE).await;
    let error = error.expect_err("another authority");
    assert_eq!(error.code(), Code::AuthorityUnknown, "{error}");
    let given = format!(
        "; this side has an identity of the development authority of {}, as it was given no other: if the other side was \
         given none either, start both as the same user and with the same XDG_STATE_HOME",
        folder.path().display()
    );
    assert!(error.detail().ends_with(&given), "{error}");
}

#[tokio::test]
async fn a_client_of_a_foreign_authority_is_refused_by_the_node() {
    let a = Start::new(node(&authority("shop"), "a")).go();
    // It trusts the node's authority and shows a certificate of its own.
    let ours = authority("shop");
    let stranger = client(&ours, "c");
    match Rogue::dial(&stranger, a.addr()).await {
        Ok(rogue) => assert_eq!(rogue.closed().await.code, Code::AuthorityUnknown),
        Err(error) => assert_eq!(close::reason(&error).code, Code::AuthorityUnknown),
    }
    refused(&a, Code::AuthorityUnknown).await;
}

#[tokio::test]
async fn another_cluster_of_the_same_authority_is_refused_by_name() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let bank = shop.for_cluster("bank");
    let b = Start::new(node(&bank, "b")).seeds(&[a.addr()]).go();
    let error = b
        .net
        .first_link(PATIENCE)
        .await
        .expect_err("another cluster");
    assert_eq!(error.code(), Code::ClusterMismatch, "{error}");
    assert!(error.detail().contains("cluster shop") && error.detail().contains("cluster bank"));
    refused(&a, Code::ClusterMismatch).await;
}

#[tokio::test]
async fn a_client_certificate_does_not_make_a_node() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let identity = client(&shop, "c");
    let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
    let mut hello = hello_of(&identity);
    hello.about.kind = PeerKind::Node;
    let _control = rogue.say_hello(hello).await;
    assert_eq!(rogue.closed().await.code, Code::KindMismatch);
    refused(&a, Code::KindMismatch).await;
}

#[tokio::test]
async fn a_hello_with_another_name_than_the_certificate_is_refused() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let rogue = Rogue::dial(&node(&shop, "b"), a.addr()).await.expect("TLS");
    let _control = rogue.say_hello(hello_of(&node(&shop, "c"))).await;
    let why = rogue.closed().await;
    assert_eq!(why.code, Code::IdentityMismatch);
    assert!(
        why.detail.contains('c') && why.detail.contains('b'),
        "{why}"
    );
    refused(&a, Code::IdentityMismatch).await;
}

/// It answers where a seed is said to be, and says that it is the one who dials.
#[tokio::test]
async fn a_seed_that_lies_about_who_it_is_stays_a_seed() {
    let shop = authority("shop");
    let tasks = Tasks::new("liar");
    let opened = endpoint::open(
        &quick(),
        &Env::real(),
        &node(&shop, "b"),
        loopback(0),
        true,
        &tasks,
    );
    let endpoint = opened.expect("an endpoint").endpoint;
    let addr = endpoint.local_addr().expect("bound");
    let a = Start::new(node(&shop, "a")).seeds(&[addr]).go();
    for _ in 0..2 {
        let dialler = tokio::time::timeout(PATIENCE, endpoint.accept()).await;
        let dialler = dialler.expect("it is dialled again").expect("open");
        let rogue = Rogue {
            tasks: Tasks::new("rogue"),
            _endpoint: endpoint.clone(),
            connection: dialler.await.expect("TLS"),
        };
        let _control = rogue.say_hello(hello_of(&node(&shop, "a"))).await;
        assert_eq!(rogue.closed().await.code, Code::IdentityMismatch);
    }
    refused(&a, Code::IdentityMismatch).await;
    tasks.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_peer_without_a_common_protocol_version_is_refused() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let identity = node(&shop, "b");
    let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
    let mut hello = hello_of(&identity);
    hello.protocol = ProtocolRange { min: 900, max: 901 };
    let _control = rogue.say_hello(hello).await;
    let why = rogue.closed().await;
    assert_eq!(why.code, Code::ProtocolMismatch);
    assert!(why.detail.contains("900"), "{why}");
    refused(&a, Code::ProtocolMismatch).await;
}

#[tokio::test]
async fn a_second_node_of_one_name_is_refused() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let twin = Start {
        incarnation: 2,
        ..Start::new(node(&shop, "a"))
    }
    .seeds(&[a.addr()])
    .go();
    let error = twin
        .net
        .first_link(PATIENCE)
        .await
        .expect_err("the same name");
    assert_eq!(error.code(), Code::DuplicateNode, "{error}");

    let b = Start {
        incarnation: 5,
        ..Start::new(node(&shop, "b"))
    }
    .seeds(&[a.addr()])
    .go();
    b.net.first_link(PATIENCE).await.expect("linked");
    let older = Start {
        incarnation: 4,
        ..Start::new(node(&shop, "b"))
    }
    .seeds(&[a.addr()])
    .go();
    let error = older
        .net
        .first_link(PATIENCE)
        .await
        .expect_err("an earlier life");
    assert_eq!(error.code(), Code::DuplicateNode, "{error}");
    assert!(a.seen.linked("b").await.is_up());
}

#[tokio::test]
async fn a_node_with_as_many_peers_as_it_allows_says_so() {
    let shop = authority("shop");
    let config = Config {
        peers_max: 1,
        ..quick()
    };
    let a = Start {
        config,
        ..Start::new(node(&shop, "a"))
    }
    .go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    b.seen.linked("a").await;
    let rogue = Rogue::dial(&client(&shop, "c"), a.addr())
        .await
        .expect("TLS");
    let _control = rogue.say_hello(hello_of(&client(&shop, "c"))).await;
    assert_eq!(rogue.closed().await.code, Code::TooManyPeers);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_closed_after_the_hello_timeout() {
    let shop = authority("shop");
    let config = Config {
        hello_timeout: Duration::from_millis(100),
        ..quick()
    };
    let a = Start {
        config,
        ..Start::new(node(&shop, "a"))
    }
    .go();
    let rogue = Rogue::dial(&node(&shop, "b"), a.addr()).await.expect("TLS");
    assert_eq!(rogue.closed().await.code, Code::HelloTimeout);
    refused(&a, Code::HelloTimeout).await;
}

#[test]
fn the_first_bytes_of_streams_are_stable() {
    assert_eq!((CONTROL_STREAM, LANE_STREAM), (0, 1));
    assert_eq!(tls::ALPN, b"callboard/1");
}

#[tokio::test]
async fn what_is_no_hello_is_refused() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let identity = node(&shop, "b");
    let huge = [&[CONTROL_STREAM][..], &u32::MAX.to_le_bytes()].concat();
    let cases: [(&[u8], Code); 4] = [
        (&[LANE_STREAM, 0], Code::FrameMalformed),
        (&[CONTROL_STREAM, 1, 0, 0, 0, 34], Code::FrameMalformed),
        (
            &[CONTROL_STREAM, 3, 0, 0, 0, 0xff, 0xff, 0xff],
            Code::FrameMalformed,
        ),
        (&huge, Code::FrameTooLarge),
    ];
    for (bytes, code) in cases {
        let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
        let _stream = rogue.send(bytes).await;
        assert_eq!(rogue.closed().await.code, code, "{bytes:?}");
    }
    assert_eq!(a.seen.ups(), 0);
}

#[tokio::test]
async fn bad_bytes_on_a_link_close_it_with_their_code_on_both_sides() {
    let shop = authority("shop");
    let large = [&[LANE_STREAM, 0][..], &(1u32 << 20).to_le_bytes()].concat();
    let cases: [(&[u8], Code); 5] = [
        (&[LANE_STREAM, 0, 0, 0, 0, 0], Code::FrameMalformed),
        (&[LANE_STREAM, 99], Code::FrameMalformed),
        (&[7, 0], Code::FrameMalformed),
        (&[CONTROL_STREAM, 0], Code::FrameMalformed),
        (&large, Code::FrameTooLarge),
    ];
    for (bytes, code) in cases {
        let a = Start::new(node(&shop, "a")).go();
        let identity = client(&shop, "b");
        let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
        let _control = rogue.say_hello(hello_of(&identity)).await;
        a.seen.linked("b").await;
        let _lane = rogue.send(bytes).await;
        assert_eq!(rogue.closed().await.code, code, "{bytes:?}");
        assert_eq!(a.seen.down().await.code, code, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_lane_that_ends_inside_a_frame_closes_the_link() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let identity = client(&shop, "b");
    let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
    let _control = rogue.say_hello(hello_of(&identity)).await;
    a.seen.linked("b").await;
    let mut lane = rogue.send(&[LANE_STREAM, 0, 9, 0, 0, 0, 1, 2]).await;
    lane.finish().expect("open");
    assert_eq!(a.seen.down().await.code, Code::FrameMalformed);
}

#[tokio::test]
async fn a_development_identity_stays_on_loopback() {
    let dir = tempfile::tempdir().expect("a folder");
    let dev = Authority::development_in(&*Env::real().files, dir.path()).expect("an authority");
    let local = Local {
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        advertise: None,
        seeds: Vec::new(),
        names: Vec::new(),
        incarnation: Incarnation(1),
        features: 0,
        hosts: Vec::new(),
        denied: DenyList::default(),
    };
    let identity = node(&dev, "a");
    let frames = Arc::new(Recorder::default());
    let started = Net::start(
        quick(),
        Env::real(),
        &identity,
        local,
        &Tasks::new("test"),
        frames,
    );
    assert_eq!(
        started.expect_err("not loopback").code(),
        Code::DevNotLoopback
    );
}

#[tokio::test]
async fn a_client_without_a_node_to_answer_is_told_so() {
    let shop = authority("shop");
    let nobody = std::net::UdpSocket::bind(loopback(0)).expect("a port");
    let addr = nobody.local_addr().expect("its address");
    let one = Start::new(client(&shop, "c")).seeds(&[addr]).go();
    // Long before the first dial is given up.
    let early = one.net.first_link(Duration::from_millis(1)).await;
    let early = early.expect_err("nobody");
    let said = format!("; {addr}: nothing has answered yet");
    assert!(early.detail().ends_with(&said), "{early}");
    let error = one
        .net
        .first_link(Duration::from_millis(300))
        .await
        .expect_err("nobody");
    assert_eq!(error.code(), Code::SeedUnreachable, "{error}");
}

#[tokio::test]
async fn more_pending_connections_than_allowed_are_refused_and_may_come_later() {
    let shop = authority("shop");
    let config = Config {
        pending_max: 1,
        ..quick()
    };
    let a = Start {
        config,
        ..Start::new(node(&shop, "a"))
    }
    .go();
    // It is pending for as long as it says nothing.
    let silent = Rogue::dial(&node(&shop, "b"), a.addr()).await.expect("TLS");
    let refused = Rogue::dial(&node(&shop, "c"), a.addr()).await;
    let error = refused.err().expect("one is pending");
    assert_eq!(close::reason(&error).code, Code::TooManyPeers);
    let later = Start::new(node(&shop, "d")).seeds(&[a.addr()]).go();
    silent.connection.close(0u32.into(), b"");
    later.seen.linked("a").await;
}

#[tokio::test]
async fn a_dialler_that_has_to_prove_its_address_still_links() {
    let shop = authority("shop");
    let config = Config {
        retry_above: 0,
        ..quick()
    };
    let a = Start {
        config,
        ..Start::new(node(&shop, "a"))
    }
    .go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    b.seen.linked("a").await;
}

#[tokio::test]
async fn a_frame_that_does_not_go_on_closes_the_link() {
    let shop = authority("shop");
    for on_lane in [true, false] {
        let config = Config {
            stall_timeout: Duration::from_millis(200),
            ..quick()
        };
        let a = Start {
            config,
            ..Start::new(node(&shop, "a"))
        }
        .go();
        let identity = client(&shop, "b");
        let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
        let mut control = rogue.say_hello(hello_of(&identity)).await;
        a.seen.linked("b").await;
        // The length of a frame, and next to nothing behind it.
        let begun = [9, 0, 0, 0, 1];
        let mut lane = rogue.send(&[LANE_STREAM, 0]).await;
        let stream = if on_lane { &mut lane } else { &mut control };
        stream.write_all(&begun).await.expect("write");
        let why = rogue.closed().await;
        assert_eq!(why.code, Code::PeerAbuse, "{why}");
        assert_eq!(a.seen.down().await, why);
    }
}

#[tokio::test]
async fn a_one_way_stream_that_does_not_say_what_it_is_closes_the_link() {
    let shop = authority("shop");
    let config = Config {
        hello_timeout: Duration::from_millis(500),
        ..quick()
    };
    let a = Start {
        config,
        ..Start::new(node(&shop, "a"))
    }
    .go();
    let identity = client(&shop, "b");
    let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
    let _control = rogue.say_hello(hello_of(&identity)).await;
    a.seen.linked("b").await;
    let _begun = rogue.send(&[LANE_STREAM]).await;
    let why = rogue.closed().await;
    assert_eq!(why.code, Code::PeerAbuse, "{why}");
    assert_eq!(a.seen.down().await, why);
}

/// The stall is counted from the first byte of the frame, whatever else of it comes.
#[tokio::test]
async fn a_frame_that_comes_byte_by_byte_closes_the_link() {
    let shop = authority("shop");
    let config = Config {
        stall_timeout: Duration::from_millis(200),
        ..quick()
    };
    let a = Start {
        config,
        ..Start::new(node(&shop, "a"))
    }
    .go();
    let identity = client(&shop, "b");
    let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
    let _control = rogue.say_hello(hello_of(&identity)).await;
    a.seen.linked("b").await;
    let mut lane = rogue.send(&[LANE_STREAM, 0]).await;
    lane.write_all(&4000_u32.to_le_bytes()).await.expect("open");
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    // All of it would take 80 seconds, which `closed` does not wait for.
    let dribble = async {
        loop {
            tick.tick().await;
            if lane.write_all(&[0]).await.is_err() {
                return;
            }
        }
    };
    let ((), why) = tokio::join!(dribble, rogue.closed());
    assert_eq!(why.code, Code::PeerAbuse, "{why}");
    assert!(why.detail.contains("not whole after 200ms"), "{why}");
    assert_eq!(a.seen.down().await, why);
}

#[tokio::test]
async fn a_storm_of_streams_that_are_given_up_closes_the_link() {
    let shop = authority("shop");
    let config = Config {
        strays_max: 25,
        ..quick()
    };
    let a = Start {
        config,
        ..Start::new(node(&shop, "a"))
    }
    .go();
    let identity = client(&shop, "b");
    let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
    let _control = rogue.say_hello(hello_of(&identity)).await;
    a.seen.linked("b").await;
    let storm = async {
        while let Ok((mut send, recv)) = rogue.connection.open_bi().await {
            send.write_all(&[0]).await.ok();
            send.reset(0u32.into()).ok();
            drop(recv);
        }
    };
    let why = tokio::time::timeout(PATIENCE, async { tokio::join!(storm, rogue.closed()).1 });
    let why = why.await.expect("the node closes");
    assert_eq!(why.code, Code::PeerAbuse, "{why}");
    assert_eq!(a.seen.down().await, why);
    assert!(a.net.strays() > 100, "{}", a.net.strays());
}

#[tokio::test]
async fn a_stream_that_says_nothing_of_use_closes_the_link() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let identity = client(&shop, "b");
    let rogue = Rogue::dial(&identity, a.addr()).await.expect("TLS");
    let _control = rogue.say_hello(hello_of(&identity)).await;
    a.seen.linked("b").await;
    let (mut send, _recv) = rogue.connection.open_bi().await.expect("a stream");
    send.write_all(&[7; 9]).await.expect("write");
    assert_eq!(rogue.closed().await.code, Code::FrameMalformed);
    assert_eq!(a.seen.down().await.code, Code::FrameMalformed);
}

#[tokio::test]
async fn nothing_is_kept_of_a_dialler_before_it_has_proven_its_address() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let b = Start::new(node(&shop, "b")).seeds(&[a.addr()]).go();
    b.seen.linked("a").await;
    assert!(a.net.asked() + b.net.asked() >= 1);
}
