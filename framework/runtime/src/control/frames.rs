//! The log file: a head, then frames, each of which was synced before the next was written.
//!
//! ```text
//!  head    magic 8 │ version 4 │ disk 8 │ salt 8 │ checksum 8
//!  frame   sequence 8 │ length 4 │ checksum of the payload 8 │ checksum of these 8 │ payload
//!  payload version 1 │ term 8 │ vote 8 │ commit 8 │ entries
//! ```
//!
//! A frame that is not whole is the torn end of the last write if no frame follows it, and is cut.
//! If one does, it was whole once, and the file is refused. Checksums begin with the salt of the
//! file, so that bytes of a command can not pass for a frame. That a log's end and its damaged last
//! frame look the same is the limit of this, as of every log of this form; see Alagappan et al.,
//! "Protocol-aware recovery for consensus-based storage", 2018, section 3. Knows no files: bytes in,
//! bytes out. Depends on `record`.

use callboard_protocol::id::DiskId;
use raft::eraftpb::{Entry, HardState};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::bytes::{Cursor, put_u32, put_u64};
use super::error::MessageError;
use super::record::{put_entries, read_entries};

/// What every frame of a file is sealed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// The disk that the file is for.
    pub(super) disk: DiskId,
    /// A random number of this file alone.
    pub(super) salt: u64,
}

/// What a log file holds.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) head: Head,
    pub(super) hard: HardState,
    /// What follows on each other, after later frames have replaced what earlier ones held.
    pub(super) entries: Vec<Entry>,
    /// The sequence number of the next frame.
    pub(super) sequence: u64,
    /// Where the next frame begins. What is behind was never synced.
    pub(super) end: usize,
}

impl Head {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_u32(&mut out, VERSION);
        put_u64(&mut out, self.disk.0);
        put_u64(&mut out, self.salt);
        let sum = xxh3_64_with_seed(&out, 0);
        put_u64(&mut out, sum);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let head = bytes.get(..HEAD_BYTES).ok_or("its head is missing")?;
        let (body, sum) = head.split_at(HEAD_BYTES - 8);
        if sum != xxh3_64_with_seed(body, 0).to_le_bytes() || !body.starts_with(MAGIC) {
            return Err("its head is damaged, or it is another file");
        }
        let read = || {
            let mut cursor = Cursor::new(body.get(MAGIC.len()..)?);
            let version = cursor.length(VERSION).ok()?;
            let (disk, salt) = (DiskId(cursor.u64().ok()?), cursor.u64().ok()?);
            (version == VERSION).then_some(Self { disk, salt })
        };
        read().ok_or("a later version has written it")
    }
}

/// Encodes a frame.
pub(super) fn frame(head: Head, sequence: u64, hard: &HardState, entries: &[Entry]) -> Vec<u8> {
    let mut payload = vec![FRAME_VERSION];
    for number in [hard.term, hard.vote, hard.commit] {
        put_u64(&mut payload, number);
    }
    put_entries(&mut payload, entries);
    seal(head, sequence, &payload)
}

/// Puts the head of a frame before a payload.
pub(super) fn seal(head: Head, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEAD_BYTES + payload.len());
    put_u64(&mut out, sequence);
    put_u32(&mut out, payload.len());
    put_u64(&mut out, xxh3_64_with_seed(payload, head.salt));
    let sum = xxh3_64_with_seed(&out, head.salt);
    put_u64(&mut out, sum);
    out.extend_from_slice(payload);
    out
}

/// Reads a log file.
///
/// # Errors
///
/// What is wrong with it: it is damaged before its end, or a later version has written it.
pub(super) fn parse(bytes: &[u8]) -> Result<Contents, String> {
    let head = Head::decode(bytes)?;
    let mut contents = Contents {
        head,
        hard: HardState::default(),
        entries: Vec::new(),
        sequence: 0,
        end: HEAD_BYTES,
    };
    while contents.end < bytes.len() {
        let rest = &bytes[contents.end..];
        let Some(payload) = payload_of(head, contents.sequence, rest) else {
            let later = (1..rest.len())
                .find(|at| frame_length(head, contents.sequence + 1.., &rest[*at..]).is_some());
            if let Some(later) = later {
                return Err(format!(
                    "it is damaged at byte {}, and goes on at byte {}",
                    contents.end,
                    contents.end + later
                ));
            }
            break;
        };
        let end = contents.end + FRAME_HEAD_BYTES + payload.len();
        contents
            .take(payload)
            .map_err(|error| format!("the frame at byte {}: {error}", contents.end))?;
        contents.end = end;
        contents.sequence += 1;
    }
    Ok(contents)
}

impl Contents {
    fn take(&mut self, payload: &[u8]) -> Result<(), MessageError> {
        let mut cursor = Cursor::new(payload);
        let version = cursor.u8()?;
        if version != FRAME_VERSION {
            return Err(MessageError::UnknownVersion(version));
        }
        self.hard.term = cursor.count()?;
        self.hard.vote = cursor.u64()?;
        self.hard.commit = cursor.count()?;
        let entries = read_entries(&mut cursor)?;
        cursor.finish()?;
        let Some(first) = entries.first().map(|entry| entry.index) else {
            return Ok(());
        };
        // What a new leader sends replaces what an old one has sent.
        let base = self.entries.first().map_or(first, |entry| entry.index);
        let kept = first
            .checked_sub(base)
            .and_then(|kept| usize::try_from(kept).ok())
            .filter(|kept| *kept <= self.entries.len());
        let kept = kept.ok_or(MessageError::OutOfRange("an index"))?;
        self.entries.truncate(kept);
        // Within a frame they were compared when they were read.
        let terms = self.entries.last().zip(entries.first());
        if terms.is_some_and(|(last, first)| first.term < last.term) {
            return Err(MessageError::OutOfRange("an index or a term"));
        }
        self.entries.extend(entries);
        Ok(())
    }
}

/// Returns the payload of the frame that `bytes` begin with, if it is whole and the one expected.
fn payload_of(head: Head, sequence: u64, bytes: &[u8]) -> Option<&[u8]> {
    let length = frame_length(head, sequence..=sequence, bytes)?;
    let payload = bytes.get(FRAME_HEAD_BYTES..)?.get(..length)?;
    let sum = xxh3_64_with_seed(payload, head.salt).to_le_bytes();
    (bytes.get(12..20)? == sum).then_some(payload)
}

/// Returns the length of the payload, if `bytes` begin with the head of a frame of such a number.
fn frame_length(
    head: Head,
    sequences: impl std::ops::RangeBounds<u64>,
    bytes: &[u8],
) -> Option<usize> {
    let (body, sum) = bytes
        .get(..FRAME_HEAD_BYTES)?
        .split_at(FRAME_HEAD_BYTES - 8);
    if sum != xxh3_64_with_seed(body, head.salt).to_le_bytes() {
        return None;
    }
    let mut cursor = Cursor::new(body);
    let sequence = cursor.u64().ok()?;
    let length = cursor.length(usize::MAX).ok()?;
    sequences.contains(&sequence).then_some(length)
}

const MAGIC: &[u8; 8] = b"CBCTRLOG";
const VERSION: usize = 1;
const FRAME_VERSION: u8 = 1;
pub(super) const HEAD_BYTES: usize = 36;
pub(super) const FRAME_HEAD_BYTES: usize = 28;
