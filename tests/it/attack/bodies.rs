//! Bodies that would take more than they are.

use std::cell::Cell;

use callboard::Code;
use callboard_protocol::wire::header::Body;

use super::{
    fair::Others,
    rogue::{Linked, call, frame},
    target::Target,
};

const CALLS_A_SECOND: u32 = 50;

/// 10⁸ and 4 GiB as varints, as which lengths are written.
const HUNDRED_MILLION: [u8; 4] = [0x80, 0xc2, 0xd7, 0x2f];
const FOUR_GIB: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_would_grow_are_refused_before_they_do() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    // So many elements, each a byte that becomes 136.
    let wide = [&[0xe0, 0xd4, 0x03][..], &[0; 60_000]].concat();
    let cases: [(&str, &str, &[u8], Code); 6] = [
        ("60,000 levels", "deep", &[1; 60_000], Code::BodyOverLimit),
        ("136 times as large", "wide", &wide, Code::BodyOverLimit),
        (
            "10^8 elements of no size",
            "units",
            &HUNDRED_MILLION,
            Code::BodyOverLimit,
        ),
        (
            "a text list of 4 GiB",
            "names",
            &FOUR_GIB,
            Code::BodyOverLimit,
        ),
        ("bytes of 4 GiB", "takes", &FOUR_GIB, Code::BodyOverLimit),
        (
            "a number without an end",
            "echo",
            &[0x80; 40],
            Code::BodyUndecodable,
        ),
    ];
    let link = tokio::sync::Mutex::new(Linked::client(&target, "mallory").await);
    for (at, (what, method, body, code)) in (1_u64..).zip(cases) {
        let text = code.text();
        let series =
            format!("callboard_served_errors_total{{method=\"Bank/{method}\",code=\"{text}\"}}");
        let blow = async |blow: u64| {
            let refused = link
                .lock()
                .await
                .refused(at << 32 | blow, method, body)
                .await;
            assert_eq!(refused, code, "{what}");
        };
        let blows = others.endure(what, CALLS_A_SECOND, blow).await;
        target.counts(&series, blows).await;
    }
    target.bound.check(target.process());
    others.leave().await;
}

/// A body on a stream of its own: what it announces, and what of it is sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_announced_and_do_not_come_are_given_up() {
    let target = Target::start().await;
    let others = Others::new(&target).await;
    let megabyte = 1_u32 << 20;
    let cases: [(&str, u32, &[u8], bool); 3] = [
        ("4 GiB announced", u32::MAX, &[], false),
        ("a body cut off", megabyte, &[16, 1, 2, 3], true),
        (
            "a body that does not go on",
            megabyte,
            &[16, 1, 2, 3],
            false,
        ),
    ];
    let series = "callboard_served_errors_total{method=\"Bank/takes\",code=\"CB1026\"}";
    let link = tokio::sync::Mutex::new(Linked::client(&target, "mallory").await);
    let next = Cell::new(0);
    for (what, length, sent, ends) in cases {
        let before = target.counted(series);
        let blow = async |_| {
            let mut link = link.lock().await;
            // As many at once as there are streams for.
            let mut streams = Vec::new();
            for _ in 0..ANNOUNCED {
                next.set(next.get() + 1);
                let id = next.get();
                let announced = call(id, "takes", Body::OnStream);
                // A sender of its own each, so that none waits for another.
                let announced = callboard_protocol::wire::header::Call {
                    sender: id,
                    ..announced
                };
                link.say(&frame(&announced)).await;
                let bytes = [&length.to_le_bytes()[..], sent].concat();
                let (mut send, recv) = link.call_stream(id, &bytes).await;
                if ends {
                    send.finish().expect("open");
                }
                streams.push((send, recv));
            }
            for _ in 0..ANNOUNCED {
                let (_, outcome) = link.answer().await;
                let error = outcome.expect_err(what);
                assert_eq!(error.code(), Code::StreamBroken, "{error}");
            }
        };
        let blows = others.endure(what, 2, blow).await;
        target.counts(series, before + blows * ANNOUNCED).await;
    }
    target.bound.check(target.process());
    others.leave().await;
}

const ANNOUNCED: u64 = 4;
