//! Peers that do what is allowed too often, too slowly, or without ever listening.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard::{Code, net::PeerKind};
use callboard_protocol::{
    id::MethodId,
    wire::header::{Body, Call},
};
use futures_util::future::join_all;
use tokio::{net::UdpSocket, sync::Mutex};

use super::{
    fair::Others,
    rogue::{Dial, LANE, Linked, Seen, call, frame, hello, opening, seen, unheard},
    target::Target,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_resets_closes_the_link_with_a_reason() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let blow = async |_| {
        let storm = "streams are opened and given up in a storm".to_owned();
        let seen = resets(&target, "mallory").await;
        assert_eq!(seen, Seen::Closed(Code::PeerAbuse, storm));
    };
    let blows = others.endure("a storm of resets", 2, blow).await;
    target
        .counts("callboard_links_refused{code=\"CB2016\"}", blows)
        .await;
    assert!(target.counted("callboard_streams_given_up ") >= blows * 4000);
    target.bound.check(target.process());
    others.leave().await;
}

/// Streams that say whose they are are given up by nobody, and a second one would make room for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_streams_for_one_call_closes_the_link_with_a_reason() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let blow = async |_| {
        let link = Linked::client(&target, "mallory").await;
        let preface = [&[0], &7_u64.to_le_bytes()[..]].concat();
        let storm = async {
            while let Some((mut send, recv)) = link.open().await {
                let _ = send.write_all(&preface).await;
                let _ = send.finish();
                drop(recv);
            }
        };
        let (_, seen) = tokio::join!(storm, link.rogue.closed());
        let twice = "the number 7 of a call is in use".to_owned();
        assert_eq!(seen, Seen::Closed(Code::FrameMalformed, twice));
    };
    let blows = others
        .endure("a storm of streams for one call", 2, blow)
        .await;
    target
        .counts("callboard_links_refused{code=\"CB2009\"}", blows)
        .await;
    target.bound.check(target.process());
    others.leave().await;
}

/// Opens streams and resets them until the node closes; returns how it ended.
pub async fn resets(target: &Target, name: &str) -> Seen {
    let link = match Linked::attempt(target, name).await {
        Ok(link) => link,
        Err(seen) => return seen,
    };
    let storm = async {
        while let Ok((mut send, recv)) = link.rogue.connection.open_bi().await {
            let _ = send.write_all(&[0]).await;
            let _ = send.reset(0_u32.into());
            drop(recv);
        }
    };
    tokio::join!(storm, link.rogue.closed()).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_a_second_closes_the_link_with_a_reason() {
    let target = Target::start().await;
    let target = &target;
    let others = Others::new(target).await;
    let series = "callboard_links_refused{code=\"CB2016\"}";
    let blow = async |_| {
        let slow = (0..SLOW).map(|_| async {
            let mut link = Linked::client(target, "mallory").await;
            let whole = frame(&call(1, "takes", Body::Inline(&[7; 100])));
            let dribble = async {
                for byte in &whole {
                    if link.lane.write_all(&[*byte]).await.is_err() {
                        // The link is closed; why is `closed`'s to tell.
                        return std::future::pending().await;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            };
            let seen = tokio::select! {
                seen = link.rogue.closed() => seen,
                () = dribble => panic!("it was let"),
            };
            match seen {
                Seen::Closed(Code::PeerAbuse, text) => {
                    assert!(text.contains("not whole"), "{text}")
                }
                other => panic!("{other:?}"),
            }
        });
        join_all(slow).await;
    };
    let blows = others.endure("a byte a second", 1, blow).await;
    target.counts(series, blows * SLOW).await;
    target.bound.check(target.process());
    others.leave().await;
}

/// The calls of a peer that takes in nothing are refused, and the refusals wait for it: as many as its
/// calls could be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_reads_is_closed_with_a_reason() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let blow = async |_| match deaf(&target, &unheard("deaf")).await {
        Seen::Closed(Code::TooManyInFlight, text) => {
            assert!(text.contains("does not read"), "{text}")
        }
        // One that floods may be too busy to hear the reason in time; the node's count below is of
        // every blow.
        Seen::Forgotten | Seen::Silent => {}
        other => panic!("{other:?}"),
    };
    let blows = others.endure("a peer that never reads", 2, blow).await;
    target
        .counts("callboard_links_refused{code=\"CB1015\"}", blows)
        .await;
    target.bound.check(target.process());
    others.leave().await;
}

/// Calls and reads no reply until the node closes.
pub async fn deaf(target: &Target, name: &str) -> Seen {
    let shown = target.client(name);
    let dial = Dial {
        // The node's hello goes into it, and some dozens of the refusals.
        window: 4096,
        ..Dial::with(&shown)
    };
    let rogue = match dial.to(target.addr).await {
        Ok(rogue) => rogue,
        Err(error) => return seen(&error),
    };
    let _control = rogue.stream(&opening(hello(name, PeerKind::Client))).await;
    let lane = rogue.stream(&[LANE, 0]).await;
    let flood = async {
        let Some(mut lane) = lane else {
            return;
        };
        for id in 0.. {
            if lane
                .write_all(&frame(&call(id, "nothing", Body::Inline(&[]))))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    tokio::join!(flood, rogue.closed()).1
}

/// A peer whose packets come with gaps, more and more of them, and then none at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_leaves_gaps_costs_no_more_than_its_windows() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let series = "callboard_links_refused{code=\"CB2014\"}";
    let before = target.counted(series);
    let gaps = Arc::new(Gaps::default());
    let relay = relay(target.addr, gaps.clone()).await;
    let shown = target.client("mallory");
    let rogue = Dial::with(&shown).to(relay).await.expect("TLS");
    let linked = rogue.link(hello("mallory", PeerKind::Client)).await;
    let mut link = linked.expect("through the relay");
    assert_eq!(link.refused(1, "nothing", &[]).await, Code::UnknownMethod);
    gaps.leave.store(true, Ordering::Relaxed);
    let body = vec![7; 1 << 20];
    let mut writing = tokio::task::JoinSet::new();
    for id in 2..34 {
        let announced = Call {
            sender: id,
            ..call(id, "takes", Body::OnStream)
        };
        link.say(&frame(&announced)).await;
        let length = (body.len() as u32 + 1).to_le_bytes();
        let (mut send, recv) = link.call_stream(id, &[&length[..], &[16]].concat()).await;
        let body = body.clone();
        writing.spawn(async move {
            let _ = send.write_all(&body).await;
            drop(recv);
        });
    }
    let watch = async |_| tokio::time::sleep(Duration::from_millis(1)).await;
    others.endure("a peer that leaves gaps", 10, watch).await;
    assert!(gaps.left.load(Ordering::Relaxed) > 20, "there were gaps");
    gaps.silent.store(true, Ordering::Relaxed);
    target.counts(series, before + 1).await;
    target.bound.check(target.process());
    writing.shutdown().await;
    others.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_method_names_leave_one_label() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let (known, resident) = (target.metrics().lines().count(), target.resident_bytes());
    let link = Mutex::new(Linked::client(&target, "mallory").await);
    let asked = AtomicU64::new(0);
    let burst = async |_| {
        let mut link = link.lock().await;
        let first = asked.fetch_add(BURST, Ordering::Relaxed);
        let mut bytes = Vec::new();
        for number in first..first + BURST {
            let method = MethodId::of("Bank", &format!("m{number}"));
            let unknown = Call {
                method,
                ..call(number, "", Body::Inline(&[]))
            };
            bytes.extend(frame(&unknown));
        }
        link.say(&bytes).await;
        for _ in 0..BURST {
            let (_, outcome) = link.answer().await;
            assert_eq!(outcome.expect_err("unknown").code(), Code::UnknownMethod);
        }
    };
    others.endure("a million method names", 8, burst).await;
    while asked.load(Ordering::Relaxed) < NAMES {
        burst(0).await;
    }
    let series = "callboard_served_errors_total{method=\"unknown\",code=\"CB1007\"}";
    assert_eq!(target.counted(series), asked.load(Ordering::Relaxed));
    // The labels that are known from before, and those of `unknown`.
    let now = target.metrics().lines().count();
    assert!(now < known + 40, "{known} lines became {now}");
    let grown = target.resident_bytes().saturating_sub(resident);
    assert!(grown < 32 << 20, "{} MiB more", grown >> 20);
    target.bound.check(target.process());
    others.leave().await;
}

/// What a relay does to the packets of a rogue.
#[derive(Default)]
struct Gaps {
    leave: AtomicBool,
    silent: AtomicBool,
    left: AtomicU64,
}

/// Carries packets between a rogue and the node, and loses every third of the rogue's.
async fn relay(node: SocketAddr, gaps: Arc<Gaps>) -> SocketAddr {
    let bind = || UdpSocket::bind(("127.0.0.1", 0));
    let (near, far) = (bind().await.expect("a port"), bind().await.expect("a port"));
    far.connect(node).await.expect("an address");
    let addr = near.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut there, mut back) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let (mut rogue, mut count) = (None, 0_u64);
        loop {
            tokio::select! {
                Ok((len, from)) = near.recv_from(&mut there) => {
                    rogue = Some(from);
                    count += 1;
                    let gap = gaps.leave.load(Ordering::Relaxed) && count % 3 == 0;
                    gaps.left.fetch_add(u64::from(gap), Ordering::Relaxed);
                    if !gap && !gaps.silent.load(Ordering::Relaxed) {
                        let _ = far.send(&there[..len]).await;
                    }
                }
                Ok(len) = far.recv(&mut back) => {
                    if let Some(rogue) = rogue {
                        let _ = near.send_to(&back[..len], rogue).await;
                    }
                }
            }
        }
    });
    addr
}

const SLOW: u64 = 16;
const BURST: u64 = 1000;
const NAMES: u64 = 1_000_000;
