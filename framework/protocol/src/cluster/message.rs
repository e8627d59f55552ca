//! Messages between the nodes of a cluster, and their bytes.
//!
//! A message is a version (1 byte, 1) and the [`Message`], encoded like a body. Kinds are only ever
//! added at the end: a node that does not know one drops the message and keeps the link. Depends on
//! the codec of `wire`.

use serde::{Deserialize, Serialize};

use super::parcel::Parcel;
use crate::id::{ClusterId, DiskId, Incarnation, NodeId};
use crate::membership::{FormingMessage, RenewalNumber};
use crate::slots::{Chunk, Epoch, SequenceNumber, SlotId, Version};
use crate::wire::{DecodeError, DecodeLimits, EncodeError, Limits, decode_plain, encode_into};

/// What one node says to another about the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Message {
    /// What the sender is. Said when a link comes up, and whenever it changes.
    Seen(Seen),
    /// The forming of a cluster.
    Forming(FormingMessage),
    /// A message of the control group, from the sender's disk to the receiver's.
    Group(Vec<u8>),
    /// A part of a message that is too long to be sent at once.
    Part(Chunk),
    /// Asks the leader to let the sender in: a command `Join`, encoded.
    Join {
        /// Tells this question from others of the sender.
        number: u64,
        /// The command.
        command: Vec<u8>,
    },
    /// The sender of [`Join`](Self::Join) is a member.
    Joined {
        /// The question's.
        number: u64,
        /// Which times the cluster goes by: the number of a profile.
        profile: u32,
    },
    /// It is not.
    NotJoined {
        /// The question's.
        number: u64,
        /// Whether it may be in a while: its life before is not over yet.
        later: bool,
        /// Whether it belongs to another cluster.
        foreign: bool,
        /// Why, in words, at most [`JOIN_DETAIL_BYTES_MAX`] bytes.
        detail: String,
    },
    /// Renews a lease.
    Renew {
        /// The life of the sender that is renewed.
        incarnation: Incarnation,
        /// Which renewal of that life this is.
        number: RenewalNumber,
        /// The version of the state that the sender knows.
        version: Version,
    },
    /// A renewal is granted.
    Granted {
        /// The renewal's.
        incarnation: Incarnation,
        /// The renewal's.
        number: RenewalNumber,
    },
    /// A renewal is not granted.
    NotGranted {
        /// The renewal's.
        incarnation: Incarnation,
        /// Why.
        why: NotGranted,
    },
    /// What has changed in the control group's state: a delta, encoded.
    Delta(Vec<u8>),
    /// What the owner of a slot says to the leader.
    Word {
        /// The life of the sender that owns the slot.
        incarnation: Incarnation,
        /// What.
        word: Word,
    },
    /// Asks for what has changed since a version, and for what changes from now on.
    ///
    /// A client asks a node again and again, and gets a [`Delta`](Self::Delta) each time; nothing else
    /// that a client says is listened to. A node asks the leader when it has missed something.
    Follow {
        /// The version of the state that the sender knows.
        version: Version,
    },
    /// The sender knows nothing now that a client could follow: it holds no lease.
    NotFollowed {
        /// Whether there is, or is to be, a control group as far as it knows.
        places: bool,
    },
    /// Asks the leader to drain the sender: it gives away what it has and gets nothing new.
    Drain {
        /// The life of the sender that is to be drained.
        incarnation: Incarnation,
    },
    /// Answers [`Drain`](Self::Drain).
    Draining {
        /// The life of the receiver that is being drained.
        incarnation: Incarnation,
        /// Whether it still has a seat in the control group.
        seated: bool,
    },
    /// The sender acts on nothing any more, in this life. Its slots may be others' at once. Answered
    /// with [`NotGranted::Over`] once that is committed.
    Over {
        /// The life of the sender that is over.
        incarnation: Incarnation,
        /// Whether it is to be a member no more. One that still owns slots stays one.
        leaves: bool,
    },
    /// The owner of a slot that moves hands something over to the next one.
    Hand {
        /// The life of the sender that owns the slot.
        incarnation: Incarnation,
        /// Which.
        id: SlotId,
        /// The epoch under which it is owned.
        epoch: Epoch,
        /// Its place among what is handed over in this move.
        sequence: SequenceNumber,
        /// What.
        parcel: Parcel,
    },
    /// The next owner of the slot has all of it before a number.
    Handed {
        /// Which.
        id: SlotId,
        /// The epoch under which it is the receiver's.
        epoch: Epoch,
        /// The number.
        before: SequenceNumber,
    },
}

/// What a node says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// The cluster that it belongs to.
    pub cluster: Option<ClusterId>,
    /// How many nodes it expects to form one.
    pub expects: Option<u32>,
    /// The disk of its log.
    pub disk: Option<DiskId>,
    /// Who leads the control group, as far as it knows.
    pub leading: Option<Leading>,
}

/// Who leads the control group.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Leading {
    /// In which term.
    pub term: u64,
    /// Who.
    pub node: NodeId,
}

/// Why a renewal is not granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum NotGranted {
    /// The node that was asked does not lead.
    NotLeader,
    /// The lease has ended, or is another life's: this one joins again, under a higher incarnation.
    Over,
}

/// What the owner of a slot says to the leader while the slot moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Word {
    /// It has stopped.
    Stopped {
        /// Which.
        id: SlotId,
        /// The epoch under which it was owned.
        epoch: Epoch,
    },
    /// A turn does not end.
    Stuck {
        /// Which.
        id: SlotId,
        /// The epoch under which it is owned.
        epoch: Epoch,
    },
}

/// Encodes a message.
///
/// # Errors
///
/// [`EncodeError::TooLarge`] for one of more than `bytes_max` bytes.
pub fn encode_message(message: &Message, bytes_max: usize) -> Result<Vec<u8>, EncodeError> {
    let mut out = vec![VERSION];
    encode_into(message, &mut out, bytes_max)?;
    Ok(out)
}

/// Decodes a message.
///
/// # Errors
///
/// [`MessageError`]: what is wrong with the bytes, or that a later version has written them.
pub fn decode_message(bytes: &[u8]) -> Result<Message, MessageError> {
    let (version, body) = bytes.split_first().ok_or(DecodeError::UnexpectedEnd)?;
    if *version != VERSION {
        return Err(MessageError::UnknownVersion(*version));
    }
    let limits = DecodeLimits::for_body(body.len(), DEPTH, &Limits::default());
    Ok(decode_plain(body, &limits)?)
}

/// Why bytes are no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A later version has written it.
    #[error("version {0} of a message of the cluster is not known")]
    UnknownVersion(u8),
    /// It is of a kind that is not known, or malformed.
    #[error("a message of the cluster: {0}")]
    Malformed(#[from] DecodeError),
}

/// A longer message goes in parts of so many bytes, each of which leaves room for others.
pub const PART_BYTES: usize = 64 * 1024;

/// The longest reason of a refusal, in bytes.
pub const JOIN_DETAIL_BYTES_MAX: usize = 1024;

const VERSION: u8 = 1;
const DEPTH: u32 = 16;

#[cfg(test)]
mod tests;
