//! Handshakes that nobody means to finish, from addresses that may be anybody's.

use std::{net::UdpSocket as StdSocket, time::Duration};

use callboard::Code;
use tokio::net::UdpSocket;

use super::{
    fair::Others,
    initial::{BYTES, Forger},
    rogue::Dial,
    target::Target,
};

const VERSION_1: u32 = 1;
const ASKED: &str = "callboard_links_asked_for_proof";

async fn socket() -> UdpSocket {
    UdpSocket::bind(("127.0.0.1", 0)).await.expect("a port")
}

/// Takes in what comes within a while of silence; returns the bytes.
async fn received(socket: &UdpSocket, silence: Duration) -> usize {
    let (mut bytes, mut datagram) = (0, vec![0; 1 << 16]);
    while let Ok(got) = tokio::time::timeout(silence, socket.recv(&mut datagram)).await {
        bytes += got.expect("received");
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_not_proven_is_sent_at_most_three_times_what_it_sent() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let forger = Forger::new();
    // One byte over the least, so that a fourth packet of the least size would be over the bound; and
    // a version that nobody speaks, which is answered with those that are spoken.
    let first = [
        (forger.packet(1, VERSION_1), true),
        (forger.packet_of(2, VERSION_1, BYTES + 1), true),
        (forger.packet(3, 0x0bad_0bad), false),
        (vec![0x41; 1200], false),
    ];
    for (packet, asked) in first {
        let before = target.counted(ASKED);
        let socket = socket().await;
        socket.connect(target.addr).await.expect("an address");
        socket.send(&packet).await.expect("sent");
        // Long enough for the probes of a handshake that would be kept: they come at 0.3, 0.9, 2.1 s.
        let got = received(&socket, Duration::from_millis(1500)).await;
        assert!(got <= 3 * packet.len(), "{got} bytes for {}", packet.len());
        assert_eq!(target.counted(ASKED) > before, asked, "{got} bytes");
    }
    others.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_forged_handshakes_leave_nothing_behind() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let forger = Forger::new();
    let sockets: Vec<StdSocket> = (0..64)
        .map(|_| {
            let socket = StdSocket::bind(("127.0.0.1", 0)).expect("a port");
            socket.connect(target.addr).expect("an address");
            socket
        })
        .collect();
    let before = target.counted(ASKED);
    let burst = async |at: u64| {
        for number in at * BURST..(at + 1) * BURST {
            let socket = &sockets[number as usize % sockets.len()];
            // A full queue of the machine's loses some, as a flood does.
            let _ = socket.send(&forger.packet(1 << 32 | number, VERSION_1));
            if number % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    // The next one comes when the node has taken in something of this one, or of those before it.
    let next_burst = async |at: u64| {
        let before = target.counted(ASKED);
        burst(at).await;
        target.counts(ASKED, before + 1).await;
    };
    let mut sent = others
        .endure("forged handshakes", BURSTS_A_SECOND, burst)
        .await
        * BURST;
    let asked = target.counted(ASKED) - before;
    while sent < FORGED {
        next_burst(sent / BURST).await;
        sent += BURST;
    }
    assert!(sent >= FORGED);
    // What the node's socket had no room for was lost before it cost anything.
    assert!(asked > 0, "nobody was asked");
    // Newcomers are let in while it goes on, and after.
    let storm = async {
        for at in 0..20 {
            next_burst(sent / BURST + at).await;
        }
    };
    let (newcomer, ()) = tokio::join!(target.connect("newcomer"), storm);
    newcomer.close().await;
    let links = target.counted("callboard_links ");
    assert_eq!(links, 2, "the two that behave");
    target.bound.check(target.process());
    others.leave().await;
}

/// Handshakes that are kept, by a peer whose address is its own and who says nothing more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_stop_after_tls_are_bounded_and_told_why() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let shown = target.client("mallory");
    let held = tokio::sync::Mutex::new(Vec::new());
    let blow = async |_| {
        match Dial::with(&shown).to(target.addr).await {
            Ok(rogue) => held.lock().await.push(rogue),
            Err(error) => {
                // The port says at once that it has too many of them.
                let refused = format!("{error:?}");
                assert!(refused.contains("CONNECTION_REFUSED"), "{refused}");
            }
        }
    };
    others.endure("handshakes that stop", 60, blow).await;
    let refused = |code: Code| format!("callboard_links_refused{{code=\"{}\"}}", code.text());
    assert!(target.counted(&refused(Code::TooManyPeers)) > 0);
    for rogue in held.into_inner() {
        let seen = rogue.closed().await;
        assert!(
            matches!(seen, super::rogue::Seen::Closed(Code::HelloTimeout, _)),
            "{seen:?}"
        );
    }
    assert!(target.counted(&refused(Code::HelloTimeout)) > 0);
    target.bound.check(target.process());
    others.leave().await;
}

const FORGED: u64 = 50_000;
const BURST: u64 = 200;
const BURSTS_A_SECOND: u32 = 25;
