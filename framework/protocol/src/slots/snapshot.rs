//! A snapshot in chunks: cut on one side, put together on the other.
//!
//! A chunk says of which whole it is a part, so that the chunks of two snapshots do not mix.
//! Nothing is allocated by what a chunk claims. Depends on the hash function only.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

/// A part of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Chunk {
    /// The hash of the whole snapshot.
    pub whole: u64,
    /// The length of the whole snapshot, in bytes.
    pub total: u64,
    /// Where this part begins.
    pub offset: u64,
    /// The part, at most [`CHUNK_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// Cuts a snapshot into chunks of this many bytes, from 1 to [`CHUNK_BYTES_MAX`].
pub fn chunks(snapshot: &[u8], chunk_bytes: usize) -> impl Iterator<Item = Chunk> {
    let (whole, total) = (xxh3_64(snapshot), snapshot.len() as u64);
    let size = chunk_bytes.clamp(1, CHUNK_BYTES_MAX);
    let parts = snapshot.chunks(size).enumerate();
    parts.map(move |(at, bytes)| Chunk {
        whole,
        total,
        offset: (at * size) as u64,
        bytes: bytes.to_vec(),
    })
}

/// Puts the chunks of one snapshot together, in whatever order and however often they come.
#[derive(Default, Debug)]
pub struct Assembly {
    /// The hash and the length of what is being put together.
    whole: Option<(u64, u64)>,
    parts: BTreeMap<u64, Vec<u8>>,
    held: u64,
}

/// Why a chunk was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// The snapshot, or the chunk, is longer than allowed.
    #[error("a snapshot of {total} bytes in chunks of {bytes}: too large")]
    TooLarge {
        /// The length of the whole.
        total: u64,
        /// The length of the chunk.
        bytes: usize,
    },
    /// The chunk does not fit beside the others.
    #[error("the chunk at {offset} does not fit beside the others")]
    DoesNotFit {
        /// Where it begins.
        offset: u64,
    },
    /// All parts are there, and are not what was cut. They are thrown away.
    #[error("the snapshot is damaged")]
    Damaged,
}

impl Assembly {
    /// Takes a chunk; returns the snapshot when it is whole.
    ///
    /// A chunk of another snapshot than those before begins anew: the sender has a newer one.
    ///
    /// # Errors
    ///
    /// [`ChunkError`]. What was there stays, except for [`ChunkError::Damaged`].
    pub fn handle_chunk(&mut self, chunk: Chunk) -> Result<Option<Vec<u8>>, ChunkError> {
        let (total, offset, bytes) = (chunk.total, chunk.offset, chunk.bytes.len());
        if total > SNAPSHOT_BYTES_MAX || bytes > CHUNK_BYTES_MAX {
            return Err(ChunkError::TooLarge { total, bytes });
        }
        let end = offset.checked_add(bytes as u64);
        if bytes == 0 || end.is_none_or(|end| end > total) {
            return Err(ChunkError::DoesNotFit { offset });
        }
        if self.whole != Some((chunk.whole, total)) {
            *self = Self::default();
            self.whole = Some((chunk.whole, total));
        }
        if self.parts.get(&offset).is_some_and(|it| *it == chunk.bytes) {
            return Ok(None);
        }
        let before = self.parts.range(..=offset).next_back();
        let overlaps = before.is_some_and(|(at, part)| at + part.len() as u64 > offset);
        let after = self.parts.range(offset..).next();
        if overlaps || after.is_some_and(|(at, _)| Some(*at) < end) {
            return Err(ChunkError::DoesNotFit { offset });
        }
        self.held += bytes as u64;
        self.parts.insert(offset, chunk.bytes);
        if self.held < total {
            return Ok(None);
        }
        let parts = std::mem::take(&mut self.parts);
        let snapshot: Vec<u8> = parts.into_values().flatten().collect();
        *self = Self::default();
        if xxh3_64(&snapshot) == chunk.whole {
            Ok(Some(snapshot))
        } else {
            Err(ChunkError::Damaged)
        }
    }
}

/// The longest chunk, in bytes.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;

/// The longest snapshot, in bytes: room for 64 groups of 16,384 slots.
pub const SNAPSHOT_BYTES_MAX: u64 = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::garbage::Random;

    fn snapshot() -> Vec<u8> {
        Random::new(3)
            .bytes(4096)
            .into_iter()
            .chain([7; 1000])
            .collect()
    }

    #[test]
    fn chunks_in_any_order_and_doubled_make_the_whole() {
        let whole = snapshot();
        let mut random = Random::new(1);
        for size in [1, 7, 100, 10_000] {
            let mut parts: Vec<Chunk> = chunks(&whole, size).collect();
            for at in (1..parts.len()).rev() {
                parts.swap(at, random.below(at + 1));
            }
            let mut assembly = Assembly::default();
            let (last, rest) = parts.split_last().expect("some");
            for part in rest {
                assert_eq!(assembly.handle_chunk(part.clone()), Ok(None));
                assert_eq!(assembly.handle_chunk(part.clone()), Ok(None));
            }
            let done = assembly.handle_chunk(last.clone());
            assert_eq!(done, Ok(Some(whole.clone())), "{size}");
        }
    }

    #[test]
    fn a_newer_snapshot_replaces_the_parts_of_an_older() {
        let (old, new) = (snapshot(), vec![9; 300]);
        let mut assembly = Assembly::default();
        for part in chunks(&old, 100).take(3) {
            assembly.handle_chunk(part).expect("fits");
        }
        let mut done = None;
        for part in chunks(&new, 100) {
            done = assembly.handle_chunk(part).expect("fits");
        }
        assert_eq!(done, Some(new));
    }

    #[test]
    fn chunks_that_lie_are_refused() {
        let whole = vec![1; 300];
        let good: Vec<Chunk> = chunks(&whole, 100).collect();
        let mut assembly = Assembly::default();
        assembly.handle_chunk(good[1].clone()).expect("fits");
        let lies: [fn(&mut Chunk); 5] = [
            |it| it.offset = 150,
            |it| it.offset = 50,
            |it| it.offset = u64::MAX,
            |it| it.total = u64::MAX,
            |it| it.bytes.clear(),
        ];
        for lie in lies {
            let mut chunk = good[0].clone();
            lie(&mut chunk);
            assembly.handle_chunk(chunk).expect_err("refused");
        }
        let mut changed = good[0].clone();
        changed.bytes[0] = 2;
        assembly.handle_chunk(changed).expect("not to be seen yet");
        assert_eq!(
            assembly.handle_chunk(good[2].clone()),
            Err(ChunkError::Damaged)
        );
    }
}
