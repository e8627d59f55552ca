//! What nodes of a cluster say to each other, and the file in which one remembers the forming.
//!
//! An input is a list of messages, each behind its length; the parts among them are put together, and
//! what they give is read as a message too. The whole input is read as one message, as a file, and as
//! what a file holds: a checksum seals that, which no bytes of a fuzzer's own would have.

use std::collections::BTreeSet;

use callboard_protocol::{
    cluster::{
        Forwarded, Leading, Message, NotGranted, Parcel, Seen, Sender, Word, decode_memory,
        decode_message, encode_memory, encode_message,
    },
    id::{ActorAddr, ActorId, ClusterId, DiskId, Incarnation, MethodId, NodeId},
    membership::{Decision, FormingMemory, FormingMessage, Promise, RenewalNumber, Round},
    slots::{Assembly, Chunk, Epoch, GroupId, SequenceNumber, Slot, SlotId, Version, chunks},
};
use xxhash_rust::xxh3::xxh3_64;

use super::{Heap, Target};

/// The target.
pub const TARGET: Target = Target {
    name: "cluster",
    check,
    seeds,
};

fn check(bytes: &[u8], heap: Heap) -> bool {
    let mut accepted = is_message(bytes, heap).is_some();
    let mut assembly = Assembly::default();
    for message in messages(bytes) {
        let Some(message) = is_message(message, heap) else {
            continue;
        };
        accepted = true;
        if let Message::Part(part) = message {
            take_part(&mut assembly, part, bytes.len(), heap);
        }
    }
    check_parts(bytes);
    let sealed = sealed(bytes);
    for file in [bytes, &sealed] {
        let allowed = RECORD_BYTES + GROWTH * file.len();
        let Ok(memory) = heap.within(allowed, || decode_memory(file)) else {
            continue;
        };
        accepted = true;
        // A longer one was not written: what is written is as long as the most that there is.
        if file.len() <= MEMORY_BYTES {
            check_memory(&memory);
        }
    }
    accepted
}

/// Reads a message. What was read is the same after it was written.
fn is_message(bytes: &[u8], heap: Heap) -> Option<Message> {
    let allowed = RECORD_BYTES + GROWTH * bytes.len();
    let message = heap.within(allowed, || decode_message(bytes)).ok()?;
    let again = encode_message(&message, usize::MAX).expect("what was read is written");
    assert_eq!(decode_message(&again), Ok(message.clone()));
    Some(message)
}

/// A part is only kept for what has come, whatever length it claims for the whole: no more than the
/// input has.
fn take_part(assembly: &mut Assembly, part: Chunk, input: usize, heap: Heap) {
    let allowed = RECORD_BYTES + WHOLE_GROWTH * input;
    let whole = heap.within(allowed, || assembly.handle_chunk(part));
    if let Ok(Some(whole)) = whole {
        is_message(&whole, heap);
    }
}

/// What was cut is put together, wherever it was cut and in whatever order it comes.
fn check_parts(bytes: &[u8]) {
    let size = bytes.first().map_or(1, |first| usize::from(*first) + 1);
    let mut parts: Vec<_> = chunks(bytes, size).collect();
    parts.reverse();
    let (mut assembly, last) = (Assembly::default(), parts.len().saturating_sub(1));
    for (number, part) in parts.into_iter().enumerate() {
        let whole = (number == last).then(|| bytes.to_vec());
        assert_eq!(assembly.handle_chunk(part), Ok(whole));
    }
}

/// A memory has one file, which is not read with any of its bits changed, or without its end.
fn check_memory(memory: &FormingMemory) {
    let file = encode_memory(memory);
    assert_eq!(decode_memory(&file).as_ref(), Ok(memory));
    let (last, cut) = file.split_last().expect("a head and a checksum");
    assert!(decode_memory(cut).is_err(), "a torn file is read");
    let other = [cut, &[last ^ 1]].concat();
    assert!(decode_memory(&other).is_err(), "a damaged file is read");
}

/// A file with these contents, whatever they are.
fn sealed(contents: &[u8]) -> Vec<u8> {
    let mut file = [b"CBMEMBER\x01", contents].concat();
    let sum = xxh3_64(&file).to_le_bytes();
    file.extend_from_slice(&sum);
    file
}

/// Cuts an input into messages.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (message, rest) = rest.split_at(length);
        bytes = rest;
        Some(message)
    })
}

/// A message of each kind, one in parts, a file, and what it holds.
fn seeds() -> Vec<Vec<u8>> {
    let encode = |message: &Message| encode_message(message, usize::MAX).expect("a short one");
    let mut seeds: Vec<_> = kinds().iter().map(encode).collect();
    let whole = encode(&Message::Delta(vec![7; 40]));
    let mut parts = Vec::new();
    for part in chunks(&whole, 16) {
        let part = encode(&Message::Part(part));
        let length = u16::try_from(part.len()).expect("a short one");
        parts.extend_from_slice(&length.to_le_bytes());
        parts.extend_from_slice(&part);
    }
    seeds.push(parts);
    let file = encode_memory(&memory());
    let (rest, _) = file.split_last_chunk::<8>().expect("a checksum");
    seeds.push(rest[9..].to_vec());
    seeds.push(file);
    seeds
}

fn kinds() -> Vec<Message> {
    let (incarnation, number) = (Incarnation(7), RenewalNumber(300));
    let (id, epoch) = (SLOT, Epoch(2));
    let (set, round) = (BTreeSet::from([NodeId(1), NodeId(2)]), ROUND);
    let seen = Seen {
        cluster: Some(CLUSTER),
        expects: Some(3),
        disk: Some(DiskId(9)),
        leading: Some(Leading {
            term: 4,
            node: NodeId(5),
        }),
    };
    let parcel = Parcel::State {
        key: vec![5],
        state: vec![6, 7],
    };
    let word = |word| Message::Word { incarnation, word };
    let refused = |why| Message::NotGranted { incarnation, why };
    let forming = [
        FormingMessage::Ask {
            round,
            set: set.clone(),
        },
        FormingMessage::Promised { round },
        FormingMessage::Taken {
            round,
            by: NodeId(2),
        },
        FormingMessage::Released { round },
        FormingMessage::Formed {
            round,
            cluster: CLUSTER,
            voters: set,
        },
    ];
    let mut kinds: Vec<_> = forming.map(Message::Forming).into();
    kinds.extend([
        Message::Seen(seen),
        Message::Group(vec![9, 8]),
        Message::Join {
            number: 6,
            command: vec![1],
        },
        Message::Joined {
            number: 6,
            profile: 2,
        },
        Message::NotJoined {
            number: 6,
            later: true,
            foreign: false,
            detail: "its life before is not over".to_owned(),
        },
        Message::Renew {
            incarnation,
            number,
            version: Version(4),
        },
        Message::Granted {
            incarnation,
            number,
        },
        refused(NotGranted::NotLeader),
        refused(NotGranted::Over),
        Message::Delta(vec![3]),
        word(Word::Stopped { id, epoch }),
        word(Word::Stuck { id, epoch }),
        Message::Follow {
            version: Version(300),
        },
        Message::NotFollowed { places: true },
        Message::Drain { incarnation },
        Message::Draining {
            incarnation,
            seated: true,
        },
        Message::Over {
            incarnation,
            leaves: false,
        },
        Message::Hand {
            incarnation,
            id,
            epoch,
            sequence: SequenceNumber(300),
            parcel,
        },
        Message::Handed {
            id,
            epoch,
            before: SequenceNumber(1),
        },
        Message::Hand {
            incarnation,
            id,
            epoch,
            sequence: SequenceNumber(301),
            parcel: Parcel::Send(Box::new(forwarded())),
        },
    ]);
    kinds
}

fn forwarded() -> Forwarded {
    let actor = ActorAddr {
        node: NodeId(3),
        incarnation: Incarnation(7),
        actor: ActorId(4),
    };
    Forwarded {
        key: vec![5],
        method: MethodId(9),
        shape: 300,
        sender: Sender {
            node: NodeId(3),
            actor: Some(actor),
            roles: Some(vec!["op".to_owned()]),
        },
        left_us: Some(300),
        trace: Some((5, 6, 1)),
        request: Some(8),
        body: vec![6, 7],
    }
}

fn memory() -> FormingMemory {
    FormingMemory {
        cluster: Some(CLUSTER),
        promise: Some(Promise {
            to: NodeId(3),
            round: ROUND,
        }),
        decision: Some(Decision {
            round: ROUND,
            voters: BTreeSet::from([NodeId(1), NodeId(3)]),
        }),
    }
}

const CLUSTER: ClusterId = ClusterId(0x0102_0304);

const ROUND: Round = Round {
    life: Incarnation(7),
    count: 2,
};

const SLOT: SlotId = SlotId {
    group: GroupId(8),
    slot: Slot(300),
};

/// What an error, and the least that a collection allocates, may take.
const RECORD_BYTES: usize = 4 << 10;

/// A member of a set of a byte or two has so much in memory at most: a node of a tree has room for
/// eleven.
const GROWTH: usize = 256;

/// What is put together is there in parts and in a vector that grows.
const WHOLE_GROWTH: usize = 8;

/// What a file of the ids of some voters takes at most when it is written anew.
const MEMORY_BYTES: usize = 1024;
