//! Frames on the stream of a call: a long body, the items, and the end.
//!
//! A call that streams, and a body that is too long for a lane, have a QUIC stream of their own, so
//! that they block nobody. On it, each direction is a sequence of frames. A direction that ends
//! without [`StreamFrame::End`] or [`StreamFrame::Failed`] is broken off. Depends on `frame`.
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 16 | body | the encoded arguments or reply, to the end |
//! | 17 | item | the encoded item, to the end |
//! | 18 | end | none |
//! | 19 | failed | an error as in a reply |
//! | 20 | body in parts | how many parts (u8, odd), the length of each (u32, little-endian), the parts |
//!
//! The parts together are the encoded arguments or reply. Every second one is a long text or byte
//! string in it, so that whoever reads the frame can receive it where it stays.

use super::frame::{FrameError, LENGTH_BYTES, expect_end, put_error, take_error};
use super::reader::Reader;
use crate::code::CallError;

/// A frame on the stream of a call. It borrows from the bytes it was decoded from.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum StreamFrame<'a> {
    /// The arguments or the reply, first on the stream.
    Body(&'a [u8]),
    /// The next item.
    Item(&'a [u8]),
    /// The sender has no more items. Nothing follows.
    End,
    /// The sender's stream failed. Nothing follows.
    Failed(CallError),
}

impl<'a> StreamFrame<'a> {
    /// Appends the frame without its length field. After a body or an item the caller may append
    /// more of it.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Body(body) => {
                out.push(KIND_BODY);
                out.extend_from_slice(body);
            }
            Self::Item(item) => {
                out.push(KIND_ITEM);
                out.extend_from_slice(item);
            }
            Self::End => out.push(KIND_END),
            Self::Failed(error) => {
                out.push(KIND_FAILED);
                put_error(out, error);
            }
        }
    }

    /// Decodes a frame, without its length field.
    ///
    /// # Errors
    ///
    /// A [`FrameError`] when the bytes are not exactly one frame that may be on a call's stream.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            KIND_BODY => Ok(Self::Body(reader.take_rest())),
            KIND_ITEM => Ok(Self::Item(reader.take_rest())),
            KIND_END => {
                expect_end(&reader)?;
                Ok(Self::End)
            }
            KIND_FAILED => Ok(Self::Failed(take_error(&mut reader)?)),
            kind => Err(FrameError::UnknownKind { kind }),
        }
    }
}

/// The start of a body's frame, without the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyHead {
    /// The body follows.
    Whole,
    /// The lengths of the parts follow, then the parts.
    Parts,
}

impl BodyHead {
    /// The most bytes of a frame that are no bytes of its body.
    pub const BYTES_MAX: usize = 2 + PARTS_MAX * LENGTH_BYTES;

    /// Returns what the first byte of a frame says, if it is that of a body.
    #[must_use]
    pub fn of(kind: u8) -> Option<Self> {
        match kind {
            KIND_BODY => Some(Self::Whole),
            KIND_PARTS => Some(Self::Parts),
            _ => None,
        }
    }

    /// Appends the head of a body that is whole.
    pub fn encode_whole(out: &mut Vec<u8>) {
        out.push(KIND_BODY);
    }

    /// Appends the head of a body in parts of these lengths, at most [`PARTS_MAX`].
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] for more parts, or for one of 4 GiB.
    pub fn encode_parts(
        out: &mut Vec<u8>,
        lens: impl ExactSizeIterator<Item = usize>,
    ) -> Result<(), FrameError> {
        let too_large = |len: usize| FrameError::TooLarge {
            len: len as u64,
            max: u32::MAX,
        };
        let count = u8::try_from(lens.len()).map_err(|_| too_large(lens.len()))?;
        out.extend([KIND_PARTS, count]);
        for len in lens {
            let len = u32::try_from(len).map_err(|_| too_large(len))?;
            out.extend(len.to_le_bytes());
        }
        Ok(())
    }

    /// Returns how many bytes the lengths of so many parts take.
    ///
    /// # Errors
    ///
    /// [`FrameError::UnexpectedEnd`] for a number of parts that no body has.
    pub fn table_bytes(count: u8) -> Result<usize, FrameError> {
        match count % 2 == 1 && usize::from(count) <= PARTS_MAX {
            true => Ok(usize::from(count) * LENGTH_BYTES),
            false => Err(FrameError::UnexpectedEnd),
        }
    }

    /// Reads the lengths of the parts, which are all that is left of their frame: `left` bytes.
    ///
    /// # Errors
    ///
    /// [`FrameError::UnexpectedEnd`] for lengths of more or of fewer bytes.
    pub fn part_lens(table: &[u8], left: usize) -> Result<Vec<usize>, FrameError> {
        let (fields, _) = table.as_chunks::<LENGTH_BYTES>();
        let lens = fields
            .iter()
            .map(|field| u32::from_le_bytes(*field) as usize);
        let lens: Vec<usize> = lens.collect();
        let all = lens
            .iter()
            .try_fold(0_usize, |all, len| all.checked_add(*len));
        match all == Some(left) {
            true => Ok(lens),
            false => Err(FrameError::UnexpectedEnd),
        }
    }
}

/// The most parts of a body. What is behind the last long text or byte string that may be a part of its
/// own is in the last part, however long.
pub const PARTS_MAX: usize = 31;

const KIND_BODY: u8 = 16;
const KIND_ITEM: u8 = 17;
const KIND_END: u8 = 18;
const KIND_FAILED: u8 = 19;
const KIND_PARTS: u8 = 20;
