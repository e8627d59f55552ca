//! Bytes that are no frames, or frames that mean nothing.

use callboard::{Code, net::PeerKind};
use callboard_protocol::{
    id::{ActorId, CallId, Incarnation, InterfaceId, MethodId},
    wire::{
        encode_into,
        header::{Body, Call, Target as CallTarget},
    },
};

use super::{
    fair::Others,
    rogue::{CONTROL, Dial, LANE, Linked, Seen, call, frame, hello, opening},
    target::Target,
};

const DIALS_A_SECOND: u32 = 40;
const CALLS_A_SECOND: u32 = 200;

/// Where bad bytes go.
#[derive(Clone, Copy)]
enum On {
    /// Instead of the hello.
    First,
    Control,
    Lane,
    /// On a one-way stream of their own.
    Own,
    /// On a stream of a call's.
    Stream,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_frames_close_the_link_with_a_reason() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let garbage: Vec<u8> = (0..200_u32).map(|at| (at * 37 + 11) as u8).collect();
    let framed = [&200_u32.to_le_bytes()[..], &garbage].concat();
    let four_gib = u32::MAX.to_le_bytes().to_vec();
    let over = (1_u32 << 20).to_le_bytes().to_vec();
    let doubled = frame(&call(7, "hangs", Body::Inline(&[]))).repeat(2);
    let (malformed, large) = (Code::FrameMalformed, Code::FrameTooLarge);
    let hello = opening(hello("mallory", PeerKind::Client));
    let cases: [(&str, On, Vec<u8>, Code); 11] = [
        (
            "garbage for a hello",
            On::First,
            [&[CONTROL][..], &framed].concat(),
            malformed,
        ),
        (
            "a hello of 4 GiB",
            On::First,
            [&[CONTROL][..], &four_gib].concat(),
            large,
        ),
        (
            "a lane before the hello",
            On::First,
            vec![LANE, 0],
            malformed,
        ),
        (
            "a second hello",
            On::Control,
            hello[1..].to_vec(),
            malformed,
        ),
        ("garbage on a lane", On::Lane, framed.clone(), malformed),
        ("an empty frame", On::Lane, vec![0; 4], malformed),
        ("an oversized frame", On::Lane, over, large),
        ("a frame of 4 GiB", On::Lane, four_gib, large),
        ("a call doubled", On::Lane, doubled, malformed),
        ("a lane doubled", On::Own, vec![LANE, 0], malformed),
        ("a stream for nothing", On::Stream, vec![9; 9], malformed),
    ];
    for (what, on, bytes, code) in cases {
        let series = format!("callboard_links_refused{{code=\"{}\"}}", code.text());
        let before = target.counted(&series);
        let blow = async |_| match strike(&target, on, &bytes).await {
            Seen::Closed(closed, text) if closed == code && !text.is_empty() => {}
            other => panic!("{what}: {other:?}"),
        };
        let blows = others.endure(what, DIALS_A_SECOND, blow).await;
        target.counts(&series, before + blows).await;
    }
    target.bound.check(target.process());
    others.leave().await;
}

async fn strike(target: &Target, on: On, bytes: &[u8]) -> Seen {
    if matches!(on, On::First) {
        let shown = target.client("mallory");
        let rogue = Dial::with(&shown).to(target.addr).await.expect("TLS");
        let _first = rogue.stream(bytes).await;
        return rogue.closed().await;
    }
    let mut link = Linked::client(target, "mallory").await;
    // A call that is answered: the link is up.
    assert_eq!(link.refused(1, "nothing", &[]).await, Code::UnknownMethod);
    let mut kept = None;
    match on {
        On::First => {}
        On::Control => drop(link.control.write_all(bytes).await),
        On::Lane => link.say(bytes).await,
        On::Own => kept = link.rogue.stream(bytes).await,
        On::Stream => {
            let (mut send, _recv) = link.rogue.connection.open_bi().await.expect("a stream");
            let _ = send.write_all(bytes).await;
            kept = Some(send);
        }
    }
    let seen = link.rogue.closed().await;
    drop(kept);
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_is_cut_off_closes_the_link_with_a_reason() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let series = "callboard_links_refused{code=\"CB2009\"}";
    let blow = async |_| {
        let mut link = Linked::client(&target, "mallory").await;
        let whole = frame(&call(1, "echo", Body::Inline(&[7])));
        link.say(&whole[..whole.len() - 1]).await;
        link.lane.finish().expect("open");
        let seen = link.rogue.closed().await;
        assert!(
            matches!(seen, Seen::Closed(Code::FrameMalformed, _)),
            "{seen:?}"
        );
    };
    let blows = others.endure("a frame cut off", DIALS_A_SECOND, blow).await;
    target.counts(series, blows).await;
    others.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_an_interface_and_types_that_are_not_here_are_refused_one_by_one() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let clerk = others
        .bank()
        .clerk()
        .await
        .expect("answers")
        .expect("spawned");
    let mut link = Linked::client(&target, "mallory").await;
    let (stale, wrong) = (clerk_target(&clerk, 1), clerk_target(&clerk, 0));
    let echo = call(0, "echo", Body::Inline(&[7]));
    let clerks = InterfaceId::of("Clerk");
    let stamp = MethodId::of("Clerk", "stamp");
    let cases = [
        (
            "an unknown method",
            Call {
                method: MethodId(1),
                ..echo
            },
            Code::UnknownMethod,
            "unknown",
        ),
        (
            "an unknown interface",
            Call {
                interface: InterfaceId(1),
                ..echo
            },
            Code::NotHosted,
            "unknown",
        ),
        (
            "an unknown fingerprint",
            Call {
                interface: clerks,
                method: stamp,
                target: wrong,
                ..echo
            },
            Code::SchemaMismatch,
            "Clerk/stamp",
        ),
        (
            "an actor that is not here",
            Call {
                interface: clerks,
                method: stamp,
                target: stale,
                ..echo
            },
            Code::ActorGone,
            "Clerk/stamp",
        ),
    ];
    let link = tokio::sync::Mutex::new(&mut link);
    for (at, (what, bad, code, method)) in (1_u64..).zip(cases) {
        let text = code.text();
        let series =
            format!("callboard_served_errors_total{{method=\"{method}\",code=\"{text}\"}}");
        let blow = async |blow: u64| {
            let mut link = link.lock().await;
            let mut bad = bad;
            bad.id = CallId(at << 32 | blow);
            link.say(&frame(&bad)).await;
            let (_, outcome) = link.answer().await;
            let error = outcome.expect_err(what);
            assert_eq!(error.code(), code, "{error}");
        };
        let blows = others.endure(what, CALLS_A_SECOND, blow).await;
        target.counts(&series, blows).await;
    }
    others.leave().await;
}

/// Reads where a spawned actor is out of its ref's encoding, and takes its types for others.
fn clerk_target(clerk: &super::target::ClerkRef, off: u64) -> CallTarget<'static> {
    let mut bytes = Vec::new();
    encode_into(clerk, &mut bytes, 100).expect("a ref");
    let numbers = varints(&bytes);
    let [.., incarnation, actor] = numbers[..] else {
        panic!("{numbers:?} is no address");
    };
    CallTarget::Spawned {
        incarnation: Incarnation(incarnation + off),
        actor: ActorId(actor),
        shape: 0xBAD,
    }
}

fn varints(bytes: &[u8]) -> Vec<u64> {
    let (mut numbers, mut value, mut shift) = (Vec::new(), 0_u64, 0);
    for byte in bytes {
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            numbers.push(value);
            (value, shift) = (0, 0);
        }
    }
    numbers
}
