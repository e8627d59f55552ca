//! What members of the control group send each other, and the file of their log.
//!
//! An input is read as a message, as a log file, and as the payloads of a log's frames, each behind its
//! length: checksums seal them, which no bytes of a fuzzer's own would have. Beside what all decoders
//! promise: a message has one encoding, and a log says the same when it is written in one frame.

use callboard::fuzzing;
use callboard_protocol::{
    id::ClusterId,
    slots::{Command, Settings, SlotCount, State},
};

use super::{Heap, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "control",
    check,
    seeds,
};

fn check(bytes: &[u8], heap: Heap) -> bool {
    let allowed = RECORD_BYTES + GROWTH * bytes.len();
    let message = heap.within(allowed, || fuzzing::control_message(bytes));
    if let Ok(again) = &message {
        assert_eq!(again, bytes, "one message has one encoding");
    }
    let file = heap.within(allowed, || fuzzing::control_log(bytes));
    if let Ok((end, again)) = &file {
        assert!(*end <= bytes.len());
        check_log(again);
    }
    let sealed = fuzzing::sealed_log(payloads(bytes));
    let allowed = RECORD_BYTES + GROWTH * sealed.len();
    let sealed_file = heap.within(allowed, || fuzzing::control_log(&sealed));
    // Without a payload it is a head alone, which says nothing of the input.
    let frames = payloads(bytes).next().is_some();
    if let Ok((end, again)) = &sealed_file {
        assert_eq!(*end, sealed.len(), "a sealed frame is taken for a torn one");
        check_log(again);
        if frames {
            check_damaged(&sealed);
        }
    }
    message.is_ok() || file.is_ok() || (frames && sealed_file.is_ok())
}

/// A log that was written is read to its end, and written again as it is.
fn check_log(file: &[u8]) {
    let again = fuzzing::control_log(file).expect("what was written is read");
    assert_eq!(again, (file.len(), file.to_vec()));
}

/// A log that is cut off, or whose last byte is another, ends before its last frame and not later.
fn check_damaged(file: &[u8]) {
    let Some((last, kept)) = file.split_last() else {
        return;
    };
    let torn = fuzzing::control_log(kept).map(|(end, _)| end);
    let other = [kept, &[last ^ 1]].concat();
    let damaged = fuzzing::control_log(&other).map(|(end, _)| end);
    assert_eq!(torn, damaged, "damage at the end is the end of the log");
    assert!(torn.is_err() || torn.is_ok_and(|end| end < file.len()));
}

/// Cuts an input into payloads.
fn payloads(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (payload, rest) = rest.split_at(length);
        bytes = rest;
        Some(payload)
    })
}

/// One message of each kind, logs of one frame and of two, and a log file.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = (1..=10).map(message).collect::<Vec<_>>();
    let first = payload(&entries(7));
    // What a new leader sends replaces what an old one has sent.
    let second = payload(&entries(8));
    for payloads in [&[&first][..], &[&first, &second]] {
        let lengths = payloads.iter().map(|payload| payload.len());
        let lengths = lengths.map(|length| u16::try_from(length).expect("a short one"));
        let behind = lengths.zip(payloads).flat_map(|(length, payload)| {
            let length = length.to_le_bytes().to_vec();
            [length, payload.to_vec()].concat()
        });
        seeds.push(behind.collect());
    }
    seeds.push(fuzzing::sealed_log([first.as_slice(), second.as_slice()]));
    seeds
}

fn message(kind: u8) -> Vec<u8> {
    let mut bytes = vec![1, kind, 1];
    for number in [1_u64, 2, 3, 2, 6, 5, 2, 4] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    put(&mut bytes, &[9; 8]);
    match kind {
        APPEND => bytes.extend(entries(7)),
        _ => bytes.extend_from_slice(&[0; 4]),
    }
    if kind == SNAPSHOT {
        bytes.extend([6_u64, 2].map(u64::to_le_bytes).concat());
        for members in [&[1_u64, 2][..], &[5]] {
            let count = u32::try_from(members.len()).expect("few");
            bytes.extend_from_slice(&count.to_le_bytes());
            members
                .iter()
                .for_each(|member| bytes.extend_from_slice(&member.to_le_bytes()));
        }
        let mut state = State::new();
        state.apply(&form()).expect("the first command");
        put(&mut bytes, &state.encode());
    }
    bytes
}

/// A command and a change of the members, of which the first has this index.
fn entries(index: u64) -> Vec<u8> {
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    let change = [&[VOTER][..], &6_u64.to_le_bytes()].concat();
    let payloads = [form().encode(), change];
    for ((kind, index), payload) in (0_u8..).zip(index..).zip(payloads) {
        bytes.push(kind);
        bytes.extend([3, index].map(u64::to_le_bytes).concat());
        put(&mut bytes, &payload);
    }
    bytes
}

fn payload(entries: &[u8]) -> Vec<u8> {
    let numbers = [3_u64, 7, 5].map(u64::to_le_bytes).concat();
    [&[1][..], &numbers, entries].concat()
}

fn put(bytes: &mut Vec<u8>, behind: &[u8]) {
    let length = u32::try_from(behind.len()).expect("a short one");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(behind);
}

fn form() -> Command {
    Command::Form {
        cluster: ClusterId(0x0102_0304),
        slots: SlotCount::new(8).expect("a power of two"),
        settings: Settings::default(),
    }
}

const APPEND: u8 = 1;
const SNAPSHOT: u8 = 5;
const VOTER: u8 = 2;

/// What a decoder may take for an input of any length.
const RECORD_BYTES: usize = 4 << 10;

/// What it may take for each byte of an input: an entry of the library is larger than its bytes.
const GROWTH: usize = 256;
