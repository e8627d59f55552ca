use std::collections::BTreeSet;

use super::*;
use crate::cluster::{Forwarded, Sender};
use crate::garbage::{Random, mutate};
use crate::id::{ActorAddr, ActorId, MethodId};
use crate::membership::Round;
use crate::slots::{GroupId, Slot};

fn encode(message: &Message) -> Vec<u8> {
    encode_message(message, 1 << 20).expect("encodes")
}

fn seen() -> Message {
    Message::Seen(Seen {
        cluster: Some(ClusterId(0x0102)),
        expects: Some(3),
        disk: Some(DiskId(9)),
        leading: Some(Leading {
            term: 4,
            node: NodeId(5),
        }),
    })
}

fn word() -> Message {
    let (id, epoch) = (ID, Epoch(2));
    Message::Word {
        incarnation: Incarnation(7),
        word: Word::Stopped { id, epoch },
    }
}

const ID: SlotId = SlotId {
    group: GroupId(8),
    slot: Slot(300),
};

fn ask() -> Message {
    let round = Round {
        life: Incarnation(7),
        count: 1,
    };
    let set = BTreeSet::from([NodeId(1), NodeId(2)]);
    Message::Forming(FormingMessage::Ask { round, set })
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
        shape: 0x101,
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

/// Every kind, with its bytes.
fn golden() -> Vec<(Message, Vec<u8>)> {
    let (incarnation, number) = (Incarnation(7), RenewalNumber(300));
    vec![
        (seen(), vec![1, 0, 1, 0x82, 2, 1, 3, 1, 9, 1, 4, 5]),
        (ask(), vec![1, 1, 0, 7, 1, 2, 1, 2]),
        (Message::Group(vec![9, 8]), vec![1, 2, 2, 9, 8]),
        (
            Message::Part(Chunk {
                whole: 5,
                total: 300,
                offset: 0,
                bytes: vec![7],
            }),
            vec![1, 3, 5, 0xac, 2, 0, 1, 7],
        ),
        (
            Message::Join {
                number: 6,
                command: vec![1],
            },
            vec![1, 4, 6, 1, 1],
        ),
        (
            Message::Joined {
                number: 6,
                profile: 2,
            },
            vec![1, 5, 6, 2],
        ),
        (
            Message::NotJoined {
                number: 6,
                later: true,
                foreign: false,
                detail: "x".to_owned(),
            },
            vec![1, 6, 6, 1, 0, 1, b'x'],
        ),
        (
            Message::Renew {
                incarnation,
                number,
                version: Version(4),
            },
            vec![1, 7, 7, 0xac, 2, 4],
        ),
        (
            Message::Granted {
                incarnation,
                number,
            },
            vec![1, 8, 7, 0xac, 2],
        ),
        (
            Message::NotGranted {
                incarnation,
                why: NotGranted::Over,
            },
            vec![1, 9, 7, 1],
        ),
        (Message::Delta(vec![3]), vec![1, 10, 1, 3]),
        (word(), vec![1, 11, 7, 0, 8, 0xac, 2, 2]),
        (
            Message::Follow {
                version: Version(300),
            },
            vec![1, 12, 0xac, 2],
        ),
        (Message::NotFollowed { places: true }, vec![1, 13, 1]),
        (Message::Drain { incarnation }, vec![1, 14, 7]),
        (
            Message::Draining {
                incarnation,
                seated: true,
            },
            vec![1, 15, 7, 1],
        ),
        (
            Message::Over {
                incarnation,
                leaves: false,
            },
            vec![1, 16, 7, 0],
        ),
        (
            Message::Hand {
                incarnation,
                id: ID,
                epoch: Epoch(2),
                sequence: SequenceNumber(300),
                parcel: Parcel::State {
                    key: vec![5],
                    state: vec![6, 7],
                },
            },
            vec![1, 17, 7, 8, 0xac, 2, 2, 0xac, 2, 0, 1, 5, 2, 6, 7],
        ),
        (
            Message::Hand {
                incarnation,
                id: ID,
                epoch: Epoch(2),
                sequence: SequenceNumber(1),
                parcel: Parcel::Send(Box::new(forwarded())),
            },
            // The key, the method, the shape; the node, the actor, a role; time, trace, request, arguments.
            vec![
                1, 17, 7, 8, 0xac, 2, 2, 1, 1, 1, 5, 9, 0x81, 2, 3, 1, 3, 7, 4, 1, 1, 2, b'o',
                b'p', 1, 0xac, 2, 1, 5, 6, 1, 1, 8, 2, 6, 7,
            ],
        ),
        (
            Message::Handed {
                id: ID,
                epoch: Epoch(2),
                before: SequenceNumber(1),
            },
            vec![1, 18, 8, 0xac, 2, 2, 1],
        ),
    ]
}

#[test]
fn the_bytes_of_every_kind_are_stable() {
    for (message, bytes) in golden() {
        assert_eq!(encode(&message), bytes, "{message:?}");
        assert_eq!(decode_message(&bytes), Ok(message));
    }
}

#[test]
fn what_a_later_version_says_is_refused_by_name() {
    assert_eq!(
        decode_message(&[2, 0]),
        Err(MessageError::UnknownVersion(2))
    );
    let unknown_kind = decode_message(&[1, 99]);
    assert!(matches!(unknown_kind, Err(MessageError::Malformed(_))));
}

#[test]
fn hostile_bytes_are_refused_and_harm_nothing() {
    let mut random = Random::new(11);
    for (message, bytes) in golden() {
        for cut in 0..bytes.len() {
            decode_message(&bytes[..cut]).expect_err("it was cut");
        }
        for _ in 0..200 {
            let changed = mutate(&bytes, &mut random);
            if let Ok(read) = decode_message(&changed) {
                assert!(decode_message(&encode(&read)).is_ok(), "{message:?}");
            }
        }
    }
}
