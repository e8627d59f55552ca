use super::*;
use crate::code::Code;
use crate::garbage::{Random, mutate};
use crate::id::{ActorAddr, NodeId};
use crate::wire::frame;
use crate::wire::stream::{BodyHead, StreamFrame};

fn plain_call() -> Call<'static> {
    Call {
        id: CallId(300),
        send: false,
        interface: InterfaceId(0x0403_0201),
        method: MethodId(0x0807_0605),
        target: Target::Service,
        epoch: 0,
        deadline_left: Duration::from_millis(2),
        sender: 0,
        root: 0,
        chain: Chain::EMPTY,
        trace: None,
        request: None,
        streamed: false,
        body: Body::Inline(b"hi"),
    }
}

const fn link(number: u64) -> ChainLink {
    let actor = ActorAddr {
        node: NodeId(number),
        incarnation: Incarnation(2),
        actor: ActorId(3),
    };
    ChainLink {
        actor,
        interface: InterfaceId(4),
    }
}

const LINKS: [ChainLink; 2] = [link(0xaa), link(0xbb)];

fn full_call() -> Call<'static> {
    Call {
        send: true,
        target: Target::Keyed(b"alice"),
        sender: 129,
        root: 0x11,
        chain: Chain::new(&LINKS),
        trace: Some(TraceContext {
            trace_id: 1 << 127 | 2,
            span_id: 3,
            flags: 1,
        }),
        request: Some(9),
        streamed: true,
        body: Body::OnStream,
        ..plain_call()
    }
}

fn encoded(call: &Call<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    call.encode(&mut out).expect("encodes");
    out
}

fn every_frame() -> Vec<Vec<u8>> {
    let mut frames = vec![encoded(&plain_call()), encoded(&full_call())];
    let spawned = Target::Spawned {
        incarnation: Incarnation(200),
        actor: ActorId(1),
        shape: 0x0102,
    };
    frames.push(encoded(&Call {
        target: spawned,
        ..plain_call()
    }));
    let mut push = |encode: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        encode(&mut out);
        frames.push(out);
    };
    let reply = |outcome| Reply {
        id: CallId(1),
        outcome,
    };
    push(&|out| reply(Ok(Body::Inline(b"hi"))).encode(out));
    push(&|out| reply(Ok(Body::OnStream)).encode(out));
    let error = CallError::new(Code::MailboxFull, "actor Cart").with_detail("1024 waiting");
    push(&|out| reply(Err(error.clone())).encode(out));
    push(&|out| encode_cancel(CallId(7), out));
    let (incarnation, actor) = (Incarnation(5), ActorId(6));
    push(&|out| {
        Watch {
            id: CallId(7),
            incarnation,
            actor,
        }
        .encode(out)
    });
    push(&|out| {
        Down {
            id: CallId(7),
            reason: DownReason::Gone,
        }
        .encode(out)
    });
    push(&|out| encode_seen(300, out));
    frames.push(encoded(&Call {
        epoch: 300,
        ..full_call()
    }));
    frames
}

#[test]
fn golden_which_tables_a_side_goes_by() {
    let mut out = Vec::new();
    encode_seen(300, &mut out);
    assert_eq!(out, [6, 0xac, 2]);
    assert_eq!(Frame::decode(&out), Ok(Frame::Seen(300)));
}

#[test]
fn golden_a_call_of_a_service_with_its_length() {
    let mut out = vec![0xee];
    let start = frame::begin(&mut out);
    plain_call().encode(&mut out).expect("encodes");
    frame::end(&mut out, start, 100).expect("fits");
    let golden = [
        0xee, // what was in the buffer before
        17, 0, 0, 0, // length
        1, 0, // call, no flags
        0xac, 0x02, // call 300
        1, 2, 3, 4, // interface
        5, 6, 7, 8, // method
        0xd0, 0x0f, // 2000 µs
        0,    // no sender
        b'h', b'i',
    ];
    assert_eq!(out, golden);
}

#[test]
fn golden_a_keyed_streaming_send_with_chain_and_trace() {
    let mut golden = vec![
        1, 0xef, 0xac, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 0xd0, 0x0f, 0x81, 0x01,
    ];
    golden.extend([5, b'a', b'l', b'i', b'c', b'e']);
    golden.extend([0x11, 0, 0, 0, 0, 0, 0, 0, 2]);
    for node in [0xaa, 0xbb] {
        golden.extend([node, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        golden.extend([3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    }
    golden.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
    golden.extend([3, 0, 0, 0, 0, 0, 0, 0, 1]);
    golden.extend([9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(encoded(&full_call()), golden);
}

#[test]
fn golden_a_call_by_an_epoch() {
    let call = Call {
        target: Target::Keyed(b"alice"),
        epoch: 300,
        ..plain_call()
    };
    let golden = [
        7, 0xac, 0x02, // call by an epoch, 300
        0x08, 0xac, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 0xd0, 0x0f, 0, // as any other
        5, b'a', b'l', b'i', b'c', b'e', b'h', b'i',
    ];
    assert_eq!(encoded(&call), golden);
    assert_eq!(Frame::decode(&golden), Ok(Frame::Call(call)));
}

#[test]
fn only_a_call_of_a_key_says_an_epoch_and_never_0() {
    let service = Call {
        epoch: 300,
        ..plain_call()
    };
    assert_eq!(encoded(&service), encoded(&plain_call()));
    let by = |epoch: u8, call: &Call<'_>| {
        let plain = encoded(call);
        let bytes = [&[7, epoch], &plain[1..]].concat();
        match Frame::decode(&bytes) {
            Err(FrameError::BadField { field, value }) => Some((field, value)),
            _ => None,
        }
    };
    assert_eq!(by(3, &plain_call()), Some(("epoch", 3)));
    let keyed = Call {
        target: Target::Keyed(b"alice"),
        ..plain_call()
    };
    assert_eq!(by(0, &keyed), Some(("epoch", 0)));
    assert_eq!(by(3, &keyed), None);
}

#[test]
fn golden_a_call_of_a_spawned_actor() {
    let target = Target::Spawned {
        incarnation: Incarnation(200),
        actor: ActorId(1),
        shape: 0x0102,
    };
    let call = Call {
        target,
        body: Body::Inline(&[]),
        ..plain_call()
    };
    let golden = [
        1, 0x10, 0xac, 0x02, 1, 2, 3, 4, 5, 6, 7, 8, 0xd0, 0x0f, 0, 0xc8, 1, 1, 0x02, 0x01, 0, 0,
        0, 0, 0, 0,
    ];
    assert_eq!(encoded(&call), golden);
}

#[test]
fn golden_replies_cancel_watch_and_down() {
    let golden: [&[u8]; 6] = [
        &[2, 1, 0, b'h', b'i'],
        &[2, 1, 1],
        b"\x02\x01\x02\xf5\x03\x0aactor Cart\x0c1024 waiting",
        &[3, 7],
        &[4, 7, 5, 6],
        &[5, 7, 3],
    ];
    for (frame, golden) in every_frame()[3..].iter().zip(golden) {
        assert_eq!(frame, golden);
    }
}

#[test]
fn golden_reasons_of_down() {
    let reasons = ["unrecognised", "stopped", "failed", "gone", "node lost"];
    for (number, name) in (0_u8..).zip(reasons) {
        assert_eq!(DownReason::from_number(number).number(), number);
        assert_eq!(DownReason::from_number(number).to_string(), name);
    }
    assert_eq!(DownReason::from_number(200), DownReason::Unrecognised);
}

#[test]
fn golden_frames_of_a_stream() {
    let encode = |frame: StreamFrame<'_>| {
        let mut out = Vec::new();
        frame.encode(&mut out);
        assert_eq!(StreamFrame::decode(&out).expect("decodes"), frame);
        out
    };
    assert_eq!(encode(StreamFrame::Body(b"abc")), b"\x10abc");
    assert_eq!(encode(StreamFrame::Item(b"")), b"\x11");
    assert_eq!(encode(StreamFrame::End), b"\x12");
    let error = CallError::new(Code::Panicked, "m");
    assert_eq!(encode(StreamFrame::Failed(error)), b"\x13\xf8\x03\x01m\x00");
    assert_eq!(
        StreamFrame::decode(b"\x12x"),
        Err(FrameError::TrailingBytes { count: 1 })
    );
    assert_eq!(
        StreamFrame::decode(b"\x01"),
        Err(FrameError::UnknownKind { kind: 1 })
    );
}

#[test]
fn golden_head_of_a_body_in_parts() {
    let mut head = Vec::new();
    BodyHead::encode_parts(&mut head, [2, 0x1_0203, 0].into_iter()).expect("few and short");
    assert_eq!(head, b"\x14\x03\x02\0\0\0\x03\x02\x01\0\0\0\0\0");
    assert_eq!(BodyHead::of(head[0]), Some(BodyHead::Parts));
    assert_eq!(BodyHead::of(16), Some(BodyHead::Whole));
    assert_eq!(BodyHead::of(17), None);
    let table = BodyHead::table_bytes(head[1]).expect("an odd number");
    assert_eq!(table, head.len() - 2);
    assert_eq!(
        BodyHead::part_lens(&head[2..], 0x1_0205),
        Ok(vec![2, 0x1_0203, 0])
    );
    for left in [0, 2, 0x1_0204, 0x1_0206] {
        let refused = BodyHead::part_lens(&head[2..], left);
        assert_eq!(refused, Err(FrameError::UnexpectedEnd));
    }
    for count in [0, 2, 30, 33, 255] {
        assert_eq!(BodyHead::table_bytes(count), Err(FrameError::UnexpectedEnd));
    }
    assert!(BodyHead::encode_parts(&mut head, [0; 256].into_iter()).is_err());
}

#[test]
fn every_frame_decodes_to_what_was_encoded() {
    for call in [plain_call(), full_call()] {
        let bytes = encoded(&call);
        assert_eq!(Frame::decode(&bytes).expect("decodes"), Frame::Call(call));
    }
    for bytes in every_frame() {
        let again = match Frame::decode(&bytes).expect("decodes") {
            Frame::Call(call) => encoded(&call),
            Frame::Reply(reply) => {
                let mut out = Vec::new();
                reply.encode(&mut out);
                out
            }
            _ => continue,
        };
        assert_eq!(again, bytes);
    }
}

#[test]
fn the_body_is_borrowed_from_the_frame() {
    let bytes = encoded(&plain_call());
    let Ok(Frame::Call(Call {
        body: Body::Inline(body),
        ..
    })) = Frame::decode(&bytes)
    else {
        panic!("a call with a body");
    };
    assert_eq!(body.as_ptr_range().end, bytes.as_ptr_range().end);
}

#[test]
fn the_largest_header_fits_its_bound() {
    let ids = [link(u64::MAX); CHAIN_MAX];
    let key = [0xff; KEY_BYTES_MAX];
    let call = Call {
        id: CallId(u64::MAX),
        target: Target::Keyed(&key),
        epoch: u64::MAX,
        deadline_left: Duration::MAX,
        sender: u64::MAX,
        root: u64::MAX,
        chain: Chain::new(&ids),
        body: Body::Inline(&[]),
        ..full_call()
    };
    let bytes = encoded(&call);
    assert_eq!(bytes.len(), HEADER_BYTES_MAX);
    let Ok(Frame::Call(decoded)) = Frame::decode(&bytes) else {
        panic!("a call")
    };
    assert_eq!(decoded.chain, Chain::new(&ids));
    assert_eq!(decoded.deadline_left, Duration::from_micros(u64::MAX));
    assert!(decoded.chain.contains(ids[0].actor));
    assert!(!decoded.chain.contains(LINKS[0].actor));
}

#[test]
fn a_long_key_or_chain_is_refused_on_both_sides() {
    let mut out = Vec::new();
    let key = [0; KEY_BYTES_MAX + 1];
    let call = Call {
        target: Target::Keyed(&key),
        ..plain_call()
    };
    let refused = FrameError::FieldTooLong {
        field: "key",
        len: 1025,
        max: 1024,
    };
    assert_eq!(call.encode(&mut out), Err(refused.clone()));
    let ids = [link(1); CHAIN_MAX + 1];
    let call = Call {
        chain: Chain::new(&ids),
        ..plain_call()
    };
    let too_long = FrameError::FieldTooLong {
        field: "chain",
        len: 17,
        max: 16,
    };
    assert_eq!(call.encode(&mut out), Err(too_long.clone()));
    assert!(out.is_empty());

    let mut bytes = encoded(&Call {
        target: Target::Keyed(&key[1..]),
        ..plain_call()
    });
    bytes[15] = 0x81; // a key of 1025 bytes
    assert_eq!(Frame::decode(&bytes), Err(refused));
    let ids = [link(1); CHAIN_MAX];
    let mut bytes = encoded(&Call {
        chain: Chain::new(&ids),
        ..plain_call()
    });
    bytes[23] = 17;
    assert_eq!(Frame::decode(&bytes), Err(too_long));
}

#[test]
fn malformed_frames_are_named() {
    let bad = |bytes: &[u8]| Frame::decode(bytes).expect_err("malformed");
    assert_eq!(bad(&[]), FrameError::UnexpectedEnd);
    assert_eq!(bad(&[99]), FrameError::UnknownKind { kind: 99 });
    assert_eq!(
        bad(&[1, 0x18]),
        FrameError::BadField {
            field: "flags",
            value: 0x18
        }
    );
    assert_eq!(
        bad(&[2, 1, 9]),
        FrameError::BadField {
            field: "outcome",
            value: 9
        }
    );
    assert_eq!(bad(&[2, 1, 1, 0]), FrameError::TrailingBytes { count: 1 });
    assert_eq!(
        bad(&[2, 1, 2, 0, 0, 1, 0xff, 0]),
        FrameError::BadText { field: "subject" }
    );
    assert_eq!(bad(&[3, 7, 7]), FrameError::TrailingBytes { count: 1 });
    assert_eq!(bad(&[3, 0xff, 0xff]), FrameError::UnexpectedEnd);
    let long = [[3].as_slice(), &[0xff; 10]].concat();
    assert_eq!(bad(&long), FrameError::NumberTooLong);
    assert_eq!(bad(&long).code(), Code::FrameMalformed);
}

#[test]
fn a_truncated_frame_is_refused_at_every_length() {
    for bytes in every_frame() {
        // A body may have any length, so only what is before it is cut.
        let body = match Frame::decode(&bytes) {
            Ok(
                Frame::Call(Call {
                    body: Body::Inline(body),
                    ..
                })
                | Frame::Reply(Reply {
                    outcome: Ok(Body::Inline(body)),
                    ..
                }),
            ) => body.len(),
            _ => 0,
        };
        for len in 0..bytes.len() - body {
            let error = Frame::decode(&bytes[..len]).expect_err("truncated");
            assert_eq!(error, FrameError::UnexpectedEnd, "{:?}", &bytes[..len]);
        }
    }
}

#[test]
fn a_frame_over_the_cap_is_neither_built_nor_read() {
    let mut out = vec![1, 2, 3];
    let start = frame::begin(&mut out);
    out.extend([0; 11]);
    let refused = FrameError::TooLarge { len: 11, max: 10 };
    assert_eq!(frame::end(&mut out, start, 10), Err(refused.clone()));
    assert_eq!(out, [1, 2, 3]);
    assert_eq!(frame::length([11, 0, 0, 0], 10), Err(refused.clone()));
    assert_eq!(refused.code(), Code::FrameTooLarge);
    assert_eq!(frame::length([10, 0, 0, 0], 10), Ok(10));
    assert_eq!(frame::length([0; 4], 10), Err(FrameError::UnexpectedEnd));
    let four_gib = frame::length([0xff; 4], 10);
    assert!(matches!(four_gib, Err(FrameError::TooLarge { .. })));
}

#[test]
fn damaged_frames_never_panic() {
    let valid = every_frame();
    let mut random = Random::new(7);
    let mut accepted = 0;
    for _ in 0..50_000 {
        let bytes = mutate(&valid[random.below(valid.len())], &mut random);
        if let Ok(Frame::Call(call)) = Frame::decode(&bytes) {
            // What was accepted is a call like any other.
            let again = encoded(&call);
            assert_eq!(Frame::decode(&again), Ok(Frame::Call(call)));
            accepted += 1;
        }
        let _ = StreamFrame::decode(&bytes);
        let garbage = random.bytes(80);
        let _ = Frame::decode(&garbage);
        let _ = StreamFrame::decode(&garbage);
    }
    assert!(
        accepted > 1000,
        "only {accepted} mutants were valid: the test tests nothing"
    );
}
