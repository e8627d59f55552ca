//! The file in which a node remembers the forming of its cluster.
//!
//! | at | bytes | what |
//! | --- | --- | --- |
//! | 0 | 8 | `CBMEMBER` |
//! | 8 | 1 | version: 1 |
//! | 9 | | the [`FormingMemory`], encoded like a body |
//! | end − 8 | 8 | xxh3 of all before, little-endian |
//!
//! Depends on the codec of `wire` and the hash function.

use xxhash_rust::xxh3::xxh3_64;

use crate::membership::FormingMemory;
use crate::wire::{DecodeLimits, Limits, decode_plain, encode_into};

/// Why the bytes of a file are no memory.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryError {
    /// They are no such file, or are not those that were written.
    #[error("the file is damaged")]
    Damaged,
    /// A later version has written it.
    #[error("version {0} of the file is not known")]
    UnknownVersion(u8),
}

/// Encodes a memory.
#[must_use]
pub fn encode_memory(memory: &FormingMemory) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(VERSION);
    encode_into(memory, &mut out, MEMORY_BYTES_MAX).expect("some ids are far shorter");
    let checksum = xxh3_64(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// Decodes a memory.
///
/// # Errors
///
/// [`MemoryError`]: what is wrong with the bytes.
pub fn decode_memory(bytes: &[u8]) -> Result<FormingMemory, MemoryError> {
    let (rest, checksum) = bytes.split_last_chunk().ok_or(MemoryError::Damaged)?;
    let body = rest.strip_prefix(MAGIC).ok_or(MemoryError::Damaged)?;
    if u64::from_le_bytes(*checksum) != xxh3_64(rest) {
        return Err(MemoryError::Damaged);
    }
    let (version, body) = body.split_first().ok_or(MemoryError::Damaged)?;
    if *version != VERSION {
        return Err(MemoryError::UnknownVersion(*version));
    }
    let limits = DecodeLimits::for_body(body.len(), DEPTH, &Limits::default());
    decode_plain(body, &limits).map_err(|_| MemoryError::Damaged)
}

/// The longest file, in bytes.
pub const MEMORY_BYTES_MAX: usize = 4096;

const MAGIC: &[u8] = b"CBMEMBER";
const VERSION: u8 = 1;
const DEPTH: u32 = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::id::{ClusterId, Incarnation, NodeId};
    use crate::membership::{Decision, Promise, Round};

    fn memory() -> FormingMemory {
        let round = Round {
            life: Incarnation(7),
            count: 2,
        };
        FormingMemory {
            cluster: Some(ClusterId(0x0102)),
            promise: Some(Promise {
                to: NodeId(3),
                round,
            }),
            decision: Some(Decision {
                round,
                voters: BTreeSet::from([NodeId(1), NodeId(3)]),
            }),
        }
    }

    #[test]
    fn golden() {
        let bytes = encode_memory(&memory());
        let mut golden = b"CBMEMBER\x01".to_vec();
        golden.extend([1, 0x82, 0x02]); // some cluster
        golden.extend([1, 3, 7, 2]); // some promise: to, life, count
        golden.extend([1, 7, 2, 2, 1, 3]); // some decision: round, two voters
        assert_eq!(bytes[..bytes.len() - 8], golden);
        assert_eq!(decode_memory(&bytes), Ok(memory()));
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let bytes = encode_memory(&memory());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            decode_memory(&damaged).expect_err("damaged");
            decode_memory(&bytes[..at]).expect_err("cut");
        }
    }
}
