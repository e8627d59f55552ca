//! The encoding of what members send each other.
//!
//! Only kinds that members have for each other are read. Proposals and reads are made where the
//! leader is, and are not sent by the library. Depends on `record`.

use raft::eraftpb::{Message, MessageType};

use super::bytes::{Cursor, put_bytes, put_u64};
use super::error::MessageError;
use super::record::{id, put_entries, put_snapshot, read_entries, read_snapshot};

/// Encodes a message; nothing for a kind that is not sent.
pub(super) fn encode(message: &Message) -> Option<Vec<u8>> {
    let kinds = KINDS.iter();
    let (kind, _) = kinds
        .clone()
        .find(|(_, of)| *of == message.get_msg_type())?;
    let mut out = vec![VERSION, *kind, u8::from(message.reject)];
    for number in [
        message.to,
        message.from,
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
    ] {
        put_u64(&mut out, number);
    }
    put_bytes(&mut out, &message.context);
    put_entries(&mut out, message.get_entries());
    if message.get_msg_type() == MessageType::MsgSnapshot {
        put_snapshot(&mut out, message.get_snapshot());
    }
    Some(out)
}

/// Decodes a message.
pub(super) fn decode(bytes: &[u8]) -> Result<Message, MessageError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(MessageError::OutOfRange("the length of the whole"));
    }
    let mut cursor = Cursor::new(bytes);
    let version = cursor.u8()?;
    if version != VERSION {
        return Err(MessageError::UnknownVersion(version));
    }
    let kind = cursor.u8()?;
    let (_, of) = KINDS
        .iter()
        .find(|(known, _)| *known == kind)
        .ok_or(MessageError::UnknownKind(kind))?;
    let mut message = Message::default();
    message.set_msg_type(*of);
    message.reject = match cursor.u8()? {
        0 => false,
        1 => true,
        _ => return Err(MessageError::OutOfRange("a flag")),
    };
    message.to = id(&mut cursor)?;
    message.from = id(&mut cursor)?;
    message.term = cursor.count()?;
    message.log_term = cursor.count()?;
    message.index = cursor.count()?;
    message.commit = cursor.count()?;
    message.commit_term = cursor.count()?;
    message.reject_hint = cursor.count()?;
    message.context = cursor.bytes(CONTEXT_BYTES_MAX)?.to_vec().into();
    let entries = read_entries(&mut cursor)?;
    if !entries.is_empty() && *of != MessageType::MsgAppend {
        return Err(MessageError::OutOfRange("an entry"));
    }
    message.set_entries(entries.into());
    if *of == MessageType::MsgSnapshot {
        message.set_snapshot(read_snapshot(&mut cursor)?.0);
    }
    cursor.finish()?;
    Ok(message)
}

/// The longest message, in bytes: one with the longest snapshot, and its head.
pub const MESSAGE_BYTES_MAX: usize = super::record::SNAPSHOT_BYTES_MAX + 4096;

const VERSION: u8 = 1;

/// A read has a number of eight bytes; a campaign of a handed-over leadership a word.
const CONTEXT_BYTES_MAX: usize = 64;

/// The kinds on the wire. A number is not used again.
const KINDS: &[(u8, MessageType)] = &[
    (1, MessageType::MsgAppend),
    (2, MessageType::MsgAppendResponse),
    (3, MessageType::MsgRequestVote),
    (4, MessageType::MsgRequestVoteResponse),
    (5, MessageType::MsgSnapshot),
    (6, MessageType::MsgHeartbeat),
    (7, MessageType::MsgHeartbeatResponse),
    (8, MessageType::MsgTimeoutNow),
    (9, MessageType::MsgRequestPreVote),
    (10, MessageType::MsgRequestPreVoteResponse),
];
