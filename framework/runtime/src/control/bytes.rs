//! Reads and writes the fixed-width numbers of the group's files and messages.
//!
//! Numbers are little-endian. A length is checked against what is left before it is used. Depends
//! on nothing.

use super::error::MessageError;

/// A cursor over hostile bytes.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn u8(&mut self) -> Result<u8, MessageError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, MessageError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, MessageError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a term or an index, which stay far from where adding one would overflow.
    pub(super) fn count(&mut self) -> Result<u64, MessageError> {
        let count = self.u64()?;
        if count > COUNT_MAX {
            return Err(MessageError::OutOfRange("a term or an index"));
        }
        Ok(count)
    }

    /// Reads a length of at most `bytes_max` and that many bytes.
    pub(super) fn bytes(&mut self, bytes_max: usize) -> Result<&'a [u8], MessageError> {
        let length = self.length(bytes_max)?;
        let (bytes, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(MessageError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads a number of things of which there may be `max`.
    pub(super) fn length(&mut self, max: usize) -> Result<usize, MessageError> {
        let length =
            usize::try_from(self.u32()?).map_err(|_| MessageError::OutOfRange("a length"))?;
        if length > max {
            return Err(MessageError::OutOfRange("a length"));
        }
        Ok(length)
    }

    /// Checks that nothing is left.
    pub(super) fn finish(self) -> Result<(), MessageError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(MessageError::OutOfRange("the length of the whole"))
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], MessageError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(MessageError::Truncated)?;
        self.rest = rest;
        Ok(*array)
    }
}

pub(super) fn put_u32(out: &mut Vec<u8>, value: usize) {
    let value = u32::try_from(value).expect("everything written is bounded far below 4 GiB");
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// The largest term and index that is read.
const COUNT_MAX: u64 = 1 << 62;
