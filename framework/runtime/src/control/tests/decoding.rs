//! Bytes that nobody has written are refused, and change nothing.

use callboard_protocol::id::DiskId;
use raft::eraftpb::{ConfState, Entry, EntryType, HardState, Message, MessageType};

use super::disk::TestDisk;
use super::{Random, elect, form, open, set};
use crate::control::frames::{self, Head};
use crate::control::{Change, MessageError, message, record};

fn entries() -> Vec<Entry> {
    let mut change = Entry {
        term: 3,
        index: 8,
        context: Change::Voter(DiskId(6)).encode().into(),
        ..Entry::default()
    };
    change.set_entry_type(EntryType::EntryConfChange);
    let command = Entry {
        term: 2,
        index: 7,
        data: set(3).encode().into(),
        ..Entry::default()
    };
    vec![command, change]
}

/// One message of every kind, with every field set.
fn messages() -> Vec<Message> {
    let kinds = [
        MessageType::MsgAppend,
        MessageType::MsgAppendResponse,
        MessageType::MsgRequestVote,
        MessageType::MsgRequestVoteResponse,
        MessageType::MsgSnapshot,
        MessageType::MsgHeartbeat,
        MessageType::MsgHeartbeatResponse,
        MessageType::MsgTimeoutNow,
        MessageType::MsgRequestPreVote,
        MessageType::MsgRequestPreVoteResponse,
    ];
    let with_kind = |kind: MessageType| {
        let mut message = Message {
            to: 1,
            from: 2,
            term: 3,
            log_term: 2,
            index: 6,
            commit: 5,
            commit_term: 2,
            reject: true,
            reject_hint: 4,
            context: vec![9; 8].into(),
            ..Message::default()
        };
        message.set_msg_type(kind);
        if kind == MessageType::MsgAppend {
            message.set_entries(entries().into());
        }
        if kind == MessageType::MsgSnapshot {
            let mut state = callboard_protocol::slots::State::new();
            state.apply(&form()).expect("first");
            let members: ConfState = (vec![1, 2], vec![5]).into();
            message.set_snapshot(record::snapshot(6, 2, members, state.encode()));
        }
        message
    };
    kinds.map(with_kind).to_vec()
}

#[test]
fn messages_are_read_as_they_were_written() {
    for message in messages() {
        let bytes = message::encode(&message).expect("members send it");
        assert_eq!(message::decode(&bytes), Ok(message));
        for cut in 0..bytes.len() {
            assert!(message::decode(&bytes[..cut]).is_err());
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(message::decode(&longer).is_err());
    }
    let proposal = Message::default();
    assert_eq!(message::encode(&proposal), None);
}

#[test]
fn a_log_whose_terms_go_back_from_one_frame_to_the_next_is_refused() {
    let head = Head {
        disk: DiskId(7),
        salt: 9,
    };
    let entry = |index, term| Entry {
        term,
        index,
        data: set(3).encode().into(),
        ..Entry::default()
    };
    let file = |term| {
        let frames = [(0, entry(7, 3)), (1, entry(8, term))];
        let frames = frames.map(|(sequence, entry)| {
            frames::frame(head, sequence, &HardState::default(), &[entry])
        });
        [head.encode(), frames.concat()].concat()
    };
    let read = frames::parse(&file(3)).expect("it follows");
    assert_eq!(read.entries, [entry(7, 3), entry(8, 3)]);
    let refused = frames::parse(&file(2)).expect_err("an older term");
    assert!(refused.contains("a term"), "{refused}");
}

#[test]
fn the_bytes_of_a_message_and_of_a_frame_stay_what_they_are() {
    let bytes = message::encode(&messages()[0]).expect("members send it");
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
    let number = |number: u64| hex(&number.to_le_bytes());
    let mut wanted = String::from("010101");
    for field in [1, 2, 3, 2, 6, 5, 2, 4] {
        wanted += &number(field);
    }
    let command = set(3).encode();
    let entries_text = format!(
        "02000000\
         00{}{}{:02x}000000{}\
         01{}{}0900000002{}",
        number(2),
        number(7),
        command.len(),
        hex(&command),
        number(3),
        number(8),
        number(6),
    );
    wanted += &format!("080000000909090909090909{entries_text}");
    assert_eq!(hex(&bytes), wanted);

    let head = Head {
        disk: DiskId(5),
        salt: 6,
    };
    let hard = HardState {
        term: 3,
        vote: 2,
        commit: 1,
        ..HardState::default()
    };
    let frame = frames::frame(head, 4, &hard, &entries());
    let payload = format!("01{}{}{}{entries_text}", number(3), number(2), number(1));
    assert_eq!(hex(&frame[frames::FRAME_HEAD_BYTES..]), payload);
    assert_eq!(hex(&frame[..8]), number(4));
    assert_eq!(
        hex(&head.encode()[..28]),
        format!("4342435452{}", "4c4f47") + "01000000" + &number(5) + &number(6)
    );
}

#[test]
fn garbage_never_panics_and_never_moves_a_group() {
    let mut random = Random(11);
    let disk = TestDisk::default();
    let mut group = open(&disk).expect("new");
    group.form(&form()).expect("empty");
    elect(&mut group);
    let samples: Vec<Vec<u8>> = messages().iter().filter_map(message::encode).collect();
    for _ in 0..40_000 {
        let mut bytes = samples[random.below(samples.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.next().to_le_bytes()[7],
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, 0xff),
            }
        }
        let _ = message::decode(&bytes);
        // The damaged message reads as from a member, so that as much as can be is tried.
        let _ = group.handle_message(DiskId(2), &bytes);
        group.flush().expect("a sound disk");
        let noise: Vec<u8> = (0..random.below(80))
            .map(|_| random.next().to_le_bytes()[7])
            .collect();
        let _ = message::decode(&noise);
        let _ = frames::parse(&noise);
        let _ = crate::control::disk::parse_snapshot(DiskId(2), &noise);
    }
    let me = group.id();
    let misdirected = group.handle_message(DiskId(2), &samples[0]);
    assert_eq!(misdirected, Err(MessageError::Misdirected));
    assert_eq!(group.id(), me);
}

#[test]
fn a_member_without_a_log_survives_what_others_say_in_any_order() {
    let mut random = Random(5);
    for _ in 0..300 {
        let disk = TestDisk::default();
        let mut group = open(&disk).expect("new");
        for _ in 0..60 {
            let mut message = messages()[random.below(10)].clone();
            message.to = group.id().0;
            message.from = 2 + random.next() % 2;
            message.term = 1 + random.next() % 4;
            message.index = random.next() % 12;
            message.commit = random.next() % 12;
            message.reject = random.one_in(2);
            for (at, entry) in message.mut_entries().iter_mut().enumerate() {
                entry.index = 7 + at as u64;
            }
            let from = DiskId(message.from);
            let bytes = message::encode(&message).expect("members send it");
            let _ = group.handle_message(from, &bytes);
            if random.one_in(3) {
                group.handle_tick();
            }
            let _ = group.flush();
        }
    }
}
