//! What arrives on a stream: it is split into frames, and each is decoded as one of a call's stream.
//!
//! The first byte of an input says how the rest is cut into pieces. Beside what all decoders promise:
//! the frames are the same however the bytes are cut, and no length makes room for a frame that
//! does not come.

use bytes::Bytes;
use callboard::fuzzing;
use callboard_protocol::{
    code::{CallError, Code},
    wire::{
        frame::{self, FrameError, LENGTH_BYTES},
        stream::{BodyHead, StreamFrame},
    },
};

use super::{Heap, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "frames",
    check,
    seeds,
};

fn check(bytes: &[u8], heap: Heap) -> bool {
    let Some((cut, bytes)) = bytes.split_first() else {
        return false;
    };
    let (frames, end) = by_hand(bytes);
    let pieces = pieces(bytes, *cut);
    let room = FRAME_BYTES_MAX as usize * 2 + (frames.len() + 1) * FRAME_OVERHEAD;
    let split = heap.within(bytes.len() + room, || {
        fuzzing::split(pieces, FRAME_BYTES_MAX)
    });
    match (split, &end) {
        (Ok((found, whole)), End::Whole(expected)) => {
            assert_eq!(found, frames);
            assert_eq!(whole, *expected);
        }
        (Err((found, error)), End::Refused(expected)) => {
            assert_eq!(found, frames);
            assert_eq!(&error, expected);
        }
        (split, end) => panic!("{split:?} instead of {frames:?} and {end:?}"),
    }
    let mut again = Vec::new();
    let accepted = frames.iter().filter(|frame| {
        let start = frame::begin(&mut again);
        again.extend_from_slice(frame);
        frame::end(&mut again, start, FRAME_BYTES_MAX).expect("it had this length before");
        check_frame(frame, heap)
    });
    let accepted = accepted.count();
    assert!(bytes.starts_with(&again));
    accepted > 0
}

/// How the bytes end.
#[derive(Debug)]
enum End {
    /// Behind a frame, or inside one.
    Whole(bool),
    Refused(FrameError),
}

/// Splits by what the format says, all at once.
fn by_hand(mut bytes: &[u8]) -> (Vec<&[u8]>, End) {
    let mut frames = Vec::new();
    while let Some((field, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() {
        let len = u32::from_le_bytes(*field);
        if !(1..=FRAME_BYTES_MAX).contains(&len) {
            let error = frame::length(*field, FRAME_BYTES_MAX).expect_err("not in the range");
            return (frames, End::Refused(error));
        }
        let Some((frame, rest)) = rest.split_at_checked(len as usize) else {
            break;
        };
        frames.push(frame);
        bytes = rest;
    }
    (frames, End::Whole(bytes.is_empty()))
}

/// Cuts into pieces of one length, or of three that alternate.
fn pieces(bytes: &[u8], cut: u8) -> Vec<Bytes> {
    let sizes = match cut {
        0 => [usize::MAX; 3],
        1..=127 => [usize::from(cut); 3],
        _ => [usize::from(cut & 7) + 1, usize::from(cut >> 3 & 7) + 1, 64],
    };
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for size in sizes.into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, behind) = rest.split_at(size.min(rest.len()));
        pieces.push(Bytes::copy_from_slice(piece));
        rest = behind;
    }
    pieces
}

fn check_frame(bytes: &[u8], heap: Heap) -> bool {
    check_head(bytes);
    let decoded = heap.within(bytes.len() + FRAME_OVERHEAD * 16, || {
        StreamFrame::decode(bytes)
    });
    let frame = match decoded {
        Ok(frame) => frame,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let mut encoded = Vec::new();
    frame.encode(&mut encoded);
    if !matches!(frame, StreamFrame::Failed(_)) {
        assert_eq!(encoded, bytes);
    }
    assert_eq!(StreamFrame::decode(&encoded).expect("it is read"), frame);
    true
}

/// The head of a body in parts says no more than the frame has, and is written as it was read.
fn check_head(bytes: &[u8]) {
    let [kind, count, behind @ ..] = bytes else {
        return;
    };
    let table_bytes = BodyHead::table_bytes(*count).unwrap_or(usize::MAX);
    let Some((table, parts)) = behind.split_at_checked(table_bytes) else {
        return;
    };
    if BodyHead::of(*kind) == Some(BodyHead::Parts)
        && let Ok(lens) = BodyHead::part_lens(table, parts.len())
    {
        assert_eq!(lens.iter().sum::<usize>(), parts.len());
        let mut again = Vec::new();
        BodyHead::encode_parts(&mut again, lens.into_iter()).expect("it was read");
        assert_eq!(again, bytes[..2 + table_bytes]);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let failed = CallError::new(Code::Panicked, "method Board/lines").with_detail("oh");
    let frames = [
        StreamFrame::Body(b"\x03Ada"),
        StreamFrame::Item(b"\x01"),
        StreamFrame::Item(b""),
        StreamFrame::End,
        StreamFrame::Failed(failed),
    ];
    let mut bytes = Vec::new();
    for frame in &frames {
        let start = frame::begin(&mut bytes);
        frame.encode(&mut bytes);
        frame::end(&mut bytes, start, FRAME_BYTES_MAX).expect("it fits");
    }
    // A body in parts, as a whole: a short one, a long text, and what follows it.
    let start = frame::begin(&mut bytes);
    BodyHead::encode_parts(&mut bytes, [2, 5, 1].into_iter()).expect("few and short");
    bytes.extend_from_slice(b"\x01\x05Peter\x00");
    frame::end(&mut bytes, start, FRAME_BYTES_MAX).expect("it fits");
    [0, 1, 5, 0x9a]
        .map(|cut| [&[cut], bytes.as_slice()].concat())
        .to_vec()
}

/// Low, so that inputs can be over it.
const FRAME_BYTES_MAX: u32 = 1024;

/// What is kept of a frame beside its bytes: handles, and the buffer it was put together in.
const FRAME_OVERHEAD: usize = 256;
