//! All of it at once, against a node that has 256 MiB.

use std::time::{Duration, Instant};

use callboard::Code;
use callboard_protocol::wire::header::{Body, Call};
use futures_util::future::{LocalBoxFuture, join_all};

use super::{
    fair::Others,
    initial::Forger,
    rogue::{Dial, LANE, Linked, call, frame, unheard},
    storms::{deaf, resets},
    target::{Target, small},
};

const SIEGE: Duration = Duration::from_secs(8);
const TRIES: u32 = 30;
/// How long one waits to be closed, which takes milliseconds.
const CLOSES: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_under_all_of_it_stays_up_in_256_mib() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let until = Instant::now() + SIEGE;
    let target = &target;
    let mut attackers: Vec<LocalBoxFuture<'_, ()>> = vec![
        Box::pin(again(until, || async {
            drop(resets(target, "resets").await)
        })),
        Box::pin(again(until, || async {
            drop(deaf(target, &unheard("deaf")).await)
        })),
        Box::pin(again(until, || garbage(target))),
        Box::pin(again(until, || silent(target))),
        Box::pin(forged(target, until)),
    ];
    for _ in 0..4 {
        attackers.push(Box::pin(again(until, || grows(target))));
        attackers.push(Box::pin(again(until, || announces(target))));
        attackers.push(Box::pin(again(until, || asks(target))));
    }
    join_all(attackers).await;
    // A link may have been lost in the crowd; it comes back, and the node is the one from before.
    let mut answered = None;
    for _ in 0..TRIES {
        let call = others.bank().echo(7_u64).timeout(Duration::from_secs(1));
        answered = call.await.ok();
        if answered.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(answered, Some(7), "the node answers");
    let newcomer = target.connect("newcomer").await;
    newcomer.close().await;
    let peak = target.bound.check(target.process());
    println!("the node's peak: {} MiB", peak >> 20);
    others.leave().await;
}

/// Strikes until the time is over.
async fn again<F: Future<Output = ()>>(until: Instant, blow: impl Fn() -> F) {
    while Instant::now() < until {
        blow().await;
    }
}

async fn garbage(target: &Target) {
    let shown = target.client("mallory");
    if let Ok(rogue) = Dial::with(&shown).to(target.addr).await {
        let _first = rogue.stream(&[LANE; 100]).await;
        // That it is closed has tests of its own. In the crowd the one packet that says so may be lost, and
        // whoever is silent then hears no more of it.
        let _ = tokio::time::timeout(CLOSES, rogue.connection.closed()).await;
    }
}

/// Begins a hello that is as long as may be, and does not end it.
async fn silent(target: &Target) {
    let shown = target.client("mallory");
    if let Ok(rogue) = Dial::with(&shown).to(target.addr).await {
        let begun = [&[0][..], &(1_u32 << 20).to_le_bytes(), &vec![32; 900_000]].concat();
        let _first = rogue.stream(&begun).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn forged(target: &Target, until: Instant) {
    let forger = Forger::new();
    let socket = tokio::net::UdpSocket::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    for number in 0.. {
        let _ = socket.send_to(&forger.packet(number, 1), target.addr).await;
        if number % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if Instant::now() > until {
                return;
            }
        }
    }
}

/// Bodies that become 136 times as large, or nearly as large as may be.
async fn grows(target: &Target) {
    let Ok(mut link) = Linked::attempt(target, "grows").await else {
        return;
    };
    let wide = [&[0xe0, 0xd4, 0x03][..], &[0; 60_000]].concat();
    let names = [&[0xd0, 0x86, 0x03][..], &[0; 50_000]].concat();
    for id in 0..50 {
        let (method, body) = if id % 2 == 0 {
            ("wide", &wide)
        } else {
            ("names", &names)
        };
        link.say(&frame(&call(id, method, Body::Inline(body))))
            .await;
    }
    for id in 0..50 {
        // A link may be lost in the crowd: that is no harm to the node.
        let Some((_, outcome)) = link.next().await else {
            return;
        };
        let refused = outcome.err().map(|error| error.code());
        assert!(
            matches!(refused, None | Some(Code::BodyOverLimit)),
            "{id}: {refused:?}"
        );
    }
}

/// Announces as many large bodies as there are streams for, and sends a part of each.
async fn announces(target: &Target) {
    let Ok(mut link) = Linked::attempt(target, "announces").await else {
        return;
    };
    let length = (4_u32 << 20).to_le_bytes();
    let mut streams = Vec::new();
    for id in 0..u64::from(small().0.streams_max) {
        let announced = Call {
            sender: id + 1,
            ..call(id, "takes", Body::OnStream)
        };
        link.say(&frame(&announced)).await;
        let Some((mut send, recv)) = link.open().await else {
            return;
        };
        let preface = [&[0], &id.to_le_bytes()[..], &length, &[16]].concat();
        let _ = send.write_all(&preface).await;
        let part = tokio::time::timeout(Duration::from_millis(10), send.write_all(&[7; 1 << 20]));
        let _ = part.await;
        streams.push((send, recv));
    }
    // The first ones stand still for as long as they may.
    let (_, outcome) = link.answer().await;
    assert_eq!(
        outcome.expect_err("stands still").code(),
        Code::StreamBroken
    );
}

/// Asks for large replies, and opens no stream for them.
async fn asks(target: &Target) {
    let Ok(mut link) = Linked::attempt(target, "asks").await else {
        return;
    };
    // 1,000,000 as a varint.
    let bytes = [0xc0, 0x84, 0x3d];
    for id in 0..100 {
        link.say(&frame(&call(id, "large", Body::Inline(&bytes))))
            .await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    link.rogue.connection.close(0_u32.into(), b"");
}
