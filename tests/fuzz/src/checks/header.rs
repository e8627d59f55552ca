//! Frames on a lane: calls, replies, cancels, watches and what they answer.
//!
//! Beside what all decoders promise: a header fits into the room that is left for it, an encoding
//! is not longer than what it was decoded from, and no bytes are a frame of two kinds of stream.

use std::time::Duration;

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, CallId, Incarnation, InterfaceId, MethodId, NodeId},
    wire::{
        Limits,
        control::Control,
        header::{
            Body, CHAIN_MAX, Call, Chain, ChainLink, Down, DownReason, Frame, HEADER_BYTES_MAX,
            KEY_BYTES_MAX, Reply, Target as Callee, TraceContext, Watch, encode_cancel,
            encode_seen,
        },
        stream::StreamFrame,
    },
};

use super::{Heap, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "header",
    check,
    seeds,
};

fn check(bytes: &[u8], heap: Heap) -> bool {
    // An error's two texts are copied, then cut; all else is borrowed.
    let decoded = heap.within(bytes.len() + ERROR_BYTES, || Frame::decode(bytes));
    let frame = match decoded {
        Ok(frame) => frame,
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.code().name().is_empty());
            return false;
        }
    };
    assert!(StreamFrame::decode(bytes).is_err(), "a stream's as well");
    let control = Control::decode(bytes, &Limits::default());
    assert!(control.is_err(), "the control lane's as well");
    let encoded = encode(&frame);
    match &frame {
        Frame::Call(call) => check_call(call, bytes, &encoded),
        // A code of a newer version comes back as the one for such, with its number as text.
        Frame::Reply(Reply {
            outcome: Err(_), ..
        }) => {}
        _ => assert!(encoded.len() <= bytes.len(), "it grew"),
    }
    let again = Frame::decode(&encoded).expect("what was encoded is read");
    assert_eq!(again, frame);
    assert_eq!(encode(&again), encoded, "one value has one encoding");
    true
}

fn check_call(call: &Call<'_>, bytes: &[u8], encoded: &[u8]) {
    let body = match call.body {
        Body::Inline(body) => body,
        Body::OnStream => &[],
    };
    assert!(bytes.ends_with(body), "a body is the rest of the frame");
    assert!(encoded.len() <= bytes.len(), "it grew");
    assert!(encoded.len() - body.len() <= HEADER_BYTES_MAX);
    assert!(call.chain.len() <= CHAIN_MAX);
    assert_eq!(call.chain.iter().count(), call.chain.len());
    assert!(
        call.chain
            .iter()
            .all(|link| call.chain.contains(link.actor))
    );
    if let Callee::Keyed(key) = call.target {
        assert!(key.len() <= KEY_BYTES_MAX);
    }
}

fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match frame {
        Frame::Call(call) => call
            .encode(&mut out)
            .expect("its fields fit: it was decoded"),
        Frame::Reply(reply) => reply.encode(&mut out),
        Frame::Cancel(id) => encode_cancel(*id, &mut out),
        Frame::Watch(watch) => watch.encode(&mut out),
        Frame::Down(down) => down.encode(&mut out),
        Frame::Seen(version) => encode_seen(*version, &mut out),
        other => panic!("a kind of frame without a check: {other:?}"),
    }
    out
}

fn seeds() -> Vec<Vec<u8>> {
    let id = CallId(300);
    let plain = Call {
        id,
        send: false,
        interface: InterfaceId::of("Greeter"),
        method: MethodId::of("Greeter", "say_hello"),
        target: Callee::Service,
        epoch: 0,
        deadline_left: Duration::from_secs(2),
        sender: 7,
        root: 0,
        chain: Chain::EMPTY,
        trace: None,
        request: None,
        streamed: false,
        body: Body::Inline(b"\x03Ada"),
    };
    let actor = ActorAddr {
        node: NodeId(1),
        incarnation: Incarnation(2),
        actor: ActorId(3),
    };
    let interface = plain.interface;
    let chain = [ChainLink { actor, interface }; 2];
    let keyed = Call {
        send: true,
        target: Callee::Keyed(b"\x05alice"),
        root: 9,
        chain: Chain::new(&chain),
        trace: Some(TraceContext {
            trace_id: 1 << 100,
            span_id: 1 << 50,
            flags: 1,
        }),
        request: Some(1 << 120),
        ..plain
    };
    let by_epoch = Call {
        epoch: 300,
        request: None,
        ..keyed
    };
    let spawned = Call {
        target: Callee::Spawned {
            incarnation: Incarnation(1_700_000_000_000),
            actor: ActorId(4),
            shape: 0x0102_0304_0506_0708,
        },
        streamed: true,
        body: Body::OnStream,
        ..plain
    };
    let error = CallError::new(Code::NotHosted, "method Greeter/say_hello").with_detail("on n2");
    let outcomes = [
        Ok(Body::Inline(b"\x0aHello, Ada")),
        Ok(Body::OnStream),
        Err(error),
    ];
    let mut frames: Vec<_> = [plain, keyed, by_epoch, spawned].map(Frame::Call).into();
    frames.extend(outcomes.map(|outcome| Frame::Reply(Reply { id, outcome })));
    frames.push(Frame::Cancel(id));
    frames.push(Frame::Watch(Watch {
        id,
        incarnation: actor.incarnation,
        actor: actor.actor,
    }));
    let reason = DownReason::Failed;
    frames.push(Frame::Down(Down { id, reason }));
    frames.push(Frame::Seen(300));
    frames.iter().map(encode).collect()
}

/// The copies of an error's texts, cut, and the error itself.
const ERROR_BYTES: usize = 4096;
