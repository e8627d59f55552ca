//! The encoding of what the log keeps: entries, changes of the members, snapshots.
//!
//! It is the same on the disk and in messages, and does not follow the library's. Only changes of
//! one member at a time are made, so a snapshot never holds a joint configuration. Depends on the
//! numbers of `bytes`.

use callboard_protocol::id::DiskId;
use callboard_protocol::slots::State;
use raft::eraftpb::{ConfChange, ConfChangeType, ConfState, Entry, EntryType, Snapshot};

use super::bytes::{Cursor, put_bytes, put_u32, put_u64};
use super::error::MessageError;

/// A change of the group's members. One is made at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// It gets the log, and does not vote. A voter becomes one that does not.
    Learner(DiskId),
    /// It gets the log, and votes.
    Voter(DiskId),
    /// It is a member no more.
    Removed(DiskId),
}

impl Change {
    /// Returns the member that it is about.
    #[must_use]
    pub const fn disk(self) -> DiskId {
        match self {
            Self::Learner(disk) | Self::Voter(disk) | Self::Removed(disk) => disk,
        }
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let kind = match self {
            Self::Learner(_) => 1,
            Self::Voter(_) => 2,
            Self::Removed(_) => 3,
        };
        let mut out = vec![kind];
        put_u64(&mut out, self.disk().0);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, MessageError> {
        let mut cursor = Cursor::new(bytes);
        let kind = cursor.u8()?;
        let disk = DiskId(id(&mut cursor)?);
        cursor.finish()?;
        match kind {
            1 => Ok(Self::Learner(disk)),
            2 => Ok(Self::Voter(disk)),
            3 => Ok(Self::Removed(disk)),
            _ => Err(MessageError::OutOfRange("a change")),
        }
    }

    pub(super) fn to_library(self) -> ConfChange {
        let mut change = ConfChange::default();
        change.set_change_type(match self {
            Self::Learner(_) => ConfChangeType::AddLearnerNode,
            Self::Voter(_) => ConfChangeType::AddNode,
            Self::Removed(_) => ConfChangeType::RemoveNode,
        });
        change.node_id = self.disk().0;
        change
    }
}

/// Writes entries: their number, then each.
///
/// The library keeps a change in an encoding of its own in `data`. Ours is in `context`, and the
/// only one that is stored: the library reads the other one only while it is proposed.
pub(super) fn put_entries(out: &mut Vec<u8>, entries: &[Entry]) {
    put_u32(out, entries.len());
    for entry in entries {
        let (kind, payload) = match entry.get_entry_type() {
            EntryType::EntryNormal => (ENTRY_COMMAND, &entry.data),
            EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => {
                (ENTRY_CHANGE, &entry.context)
            }
        };
        out.push(kind);
        put_u64(out, entry.term);
        put_u64(out, entry.index);
        put_bytes(out, payload);
    }
}

/// Reads entries that follow each other.
pub(super) fn read_entries(cursor: &mut Cursor<'_>) -> Result<Vec<Entry>, MessageError> {
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..cursor.length(ENTRIES_MAX)? {
        let kind = cursor.u8()?;
        let mut entry = Entry {
            term: cursor.count()?,
            index: cursor.count()?,
            ..Entry::default()
        };
        let payload = cursor.bytes(ENTRY_BYTES_MAX)?;
        match kind {
            ENTRY_COMMAND => entry.data = payload.to_vec().into(),
            ENTRY_CHANGE => {
                Change::decode(payload)?;
                entry.set_entry_type(EntryType::EntryConfChange);
                entry.context = payload.to_vec().into();
            }
            _ => return Err(MessageError::OutOfRange("the kind of an entry")),
        }
        let (index, term) = (entry.index, entry.term);
        let follows = entries
            .last()
            .is_none_or(|last| index == last.index + 1 && term >= last.term);
        if index == 0 || term == 0 || !follows {
            return Err(MessageError::OutOfRange("an index or a term"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

pub(super) fn put_snapshot(out: &mut Vec<u8>, snapshot: &Snapshot) {
    let about = snapshot.get_metadata();
    put_u64(out, about.index);
    put_u64(out, about.term);
    for ids in [
        about.get_conf_state().get_voters(),
        about.get_conf_state().get_learners(),
    ] {
        put_u32(out, ids.len());
        for id in ids {
            put_u64(out, *id);
        }
    }
    put_bytes(out, snapshot.get_data());
}

/// Reads a snapshot whose members are sound and whose state can be decoded.
pub(super) fn read_snapshot(cursor: &mut Cursor<'_>) -> Result<(Snapshot, State), MessageError> {
    let (index, term) = (cursor.count()?, cursor.count()?);
    let (voters, learners) = (ids(cursor)?, ids(cursor)?);
    let mut all: Vec<u64> = voters.iter().chain(&learners).copied().collect();
    all.sort_unstable();
    let len = all.len();
    all.dedup();
    if index == 0 || term == 0 || voters.is_empty() || all.len() != len {
        return Err(MessageError::OutOfRange("a snapshot"));
    }
    let data = cursor.bytes(SNAPSHOT_BYTES_MAX)?;
    let state = State::decode(data).map_err(|_| MessageError::OutOfRange("a snapshot"))?;
    let snapshot = snapshot(index, term, (voters, learners).into(), data.to_vec());
    Ok((snapshot, state))
}

pub(super) fn snapshot(index: u64, term: u64, members: ConfState, data: Vec<u8>) -> Snapshot {
    let mut snapshot = Snapshot {
        data: data.into(),
        ..Snapshot::default()
    };
    let about = snapshot.mut_metadata();
    about.index = index;
    about.term = term;
    about.set_conf_state(members);
    snapshot
}

fn ids(cursor: &mut Cursor<'_>) -> Result<Vec<u64>, MessageError> {
    let count = cursor.length(MEMBERS_MAX)?;
    (0..count).map(|_| id(cursor)).collect()
}

/// Reads an id. The library takes zero for none.
pub(super) fn id(cursor: &mut Cursor<'_>) -> Result<u64, MessageError> {
    match cursor.u64()? {
        0 => Err(MessageError::OutOfRange("an id")),
        id => Ok(id),
    }
}

/// The longest command of an entry, in bytes: 1 MiB.
pub const ENTRY_BYTES_MAX: usize = 1024 * 1024;

/// The most members of a group, voters or not. More than five voters are never wanted.
pub(super) const MEMBERS_MAX: usize = 64;

/// The most entries of a message or a frame of the log. A leader has at most
/// [`UNCOMMITTED_BYTES_MAX`](super::config::UNCOMMITTED_BYTES_MAX) on their way.
pub(super) const ENTRIES_MAX: usize = 1024 * 1024;

/// The longest state in a snapshot, in bytes: 64 MiB. 64 groups of 16,384 slots have about 20.
pub(super) const SNAPSHOT_BYTES_MAX: usize = 64 * 1024 * 1024;

const ENTRY_COMMAND: u8 = 0;
const ENTRY_CHANGE: u8 = 1;
