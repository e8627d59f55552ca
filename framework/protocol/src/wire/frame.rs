//! What all frames have in common: the length field, and why a frame is refused.
//!
//! ```text
//! offset 0   u32 LE   length of what follows
//! offset 4   u8       kind
//! offset 5   …        the kind's fields, then its body to the end of the frame
//! ```
//!
//! A frame is built in place at the end of a buffer: [`begin`], the fields, the body, then [`end`],
//! which writes the length. Kinds are laid out in [`header`](super::header),
//! [`control`](super::control) and [`stream`](super::stream). Depends on `code` and `reader`.

use super::codec::{DecodeError, EncodeError};
use super::reader::{ReadError, Reader};
use crate::code::{CallError, Code};

/// Where a frame begins in a buffer. Made by [`begin`], used up by [`end`].
#[derive(Debug)]
#[must_use = "a frame without its length is malformed"]
pub struct FrameStart(usize);

impl FrameStart {
    /// Takes an unfinished frame out of the buffer again.
    pub fn cancel(self, out: &mut Vec<u8>) {
        out.truncate(self.0);
    }

    /// Returns the offset of the frame's length field in the buffer.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0
    }
}

/// Begins a frame at the end of a buffer: reserves its length field.
#[inline]
pub fn begin(out: &mut Vec<u8>) -> FrameStart {
    let start = FrameStart(out.len());
    out.extend_from_slice(&[0; LENGTH_BYTES]);
    start
}

/// Ends a frame: writes the number of bytes since [`begin`] into its length field.
///
/// # Errors
///
/// [`FrameError::TooLarge`] when the frame is longer than `frame_bytes_max` or empty. The frame
/// is then taken out of the buffer.
#[inline]
pub fn end(out: &mut Vec<u8>, start: FrameStart, frame_bytes_max: u32) -> Result<(), FrameError> {
    let len = out.len().saturating_sub(start.0 + LENGTH_BYTES);
    match u32::try_from(len) {
        Ok(field) if field > 0 && field <= frame_bytes_max => {
            out[start.0..start.0 + LENGTH_BYTES].copy_from_slice(&field.to_le_bytes());
            Ok(())
        }
        _ => {
            start.cancel(out);
            Err(FrameError::TooLarge {
                len: len as u64,
                max: frame_bytes_max,
            })
        }
    }
}

/// Reads a frame's length field and returns the number of bytes that follow it.
///
/// # Errors
///
/// [`FrameError::TooLarge`] when it is longer than `frame_bytes_max`, [`FrameError::UnexpectedEnd`]
/// when it is zero, since a frame has a kind at least. Nothing may be allocated for the frame
/// BEFORE this check.
#[inline]
pub fn length(field: [u8; LENGTH_BYTES], frame_bytes_max: u32) -> Result<usize, FrameError> {
    let len = u32::from_le_bytes(field);
    if len == 0 {
        return Err(FrameError::UnexpectedEnd);
    }
    if len > frame_bytes_max {
        return Err(FrameError::TooLarge {
            len: u64::from(len),
            max: frame_bytes_max,
        });
    }
    Ok(len as usize)
}

/// Why bytes are not a frame, or a frame was not built.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame ends inside a field, or has no kind.
    #[error("the frame ends inside a field")]
    UnexpectedEnd,
    /// A number is longer than its field.
    #[error("a number is longer than its field")]
    NumberTooLong,
    /// The frame is longer than allowed, or empty.
    #[error("a frame of {len} bytes, allowed are 1 to {max}")]
    TooLarge {
        /// The length in bytes.
        len: u64,
        /// The cap in bytes.
        max: u32,
    },
    /// There is no such kind of frame here.
    #[error("there is no frame of kind {kind} here")]
    UnknownKind {
        /// The kind.
        kind: u8,
    },
    /// A field has a value without a meaning.
    #[error("field {field} has the value {value}, which means nothing")]
    BadField {
        /// The name of the field.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A field is longer than allowed.
    #[error("field {field} has {len} bytes or entries, allowed are {max}")]
    FieldTooLong {
        /// The name of the field.
        field: &'static str,
        /// Its length.
        len: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A text is not UTF-8.
    #[error("field {field} is not UTF-8")]
    BadText {
        /// The name of the field.
        field: &'static str,
    },
    /// Bytes are left behind the last field.
    #[error("{count} bytes are left behind the last field")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
    /// The two sides have no protocol version in common.
    #[error("protocol versions {min} to {max} are not known here")]
    Protocol {
        /// The oldest version that the peer speaks.
        min: u16,
        /// The newest version that the peer speaks.
        max: u16,
    },
    /// A hello contradicts itself or has more entries than allowed.
    #[error("the hello has {reason}")]
    BadHello {
        /// What it has.
        reason: &'static str,
    },
    /// The body of a control frame could not be decoded.
    #[error("the body of a control frame: {0}")]
    Body(DecodeError),
    /// The body of a control frame could not be encoded.
    #[error("the body of a control frame: {0}")]
    Encode(EncodeError),
}

impl FrameError {
    /// Returns the code with which a link is closed for this.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::FrameTooLarge,
            Self::Protocol { .. } => Code::ProtocolMismatch,
            _ => Code::FrameMalformed,
        }
    }
}

impl From<ReadError> for FrameError {
    #[inline]
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::UnexpectedEnd => Self::UnexpectedEnd,
            ReadError::NumberTooLong => Self::NumberTooLong,
        }
    }
}

/// Appends a varint of up to ten bytes.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    let mut head = Head::new();
    head.varint(value);
    head.write_to(out);
}

/// The first fields of a frame, put together on the stack: the buffer is asked once whether it has room for
/// all of them.
#[derive(Debug)]
pub(super) struct Head {
    bytes: [u8; HEAD_BYTES],
    len: usize,
}

impl Head {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; HEAD_BYTES],
            len: 0,
        }
    }

    /// Appends a field of a fixed size.
    #[inline]
    pub(super) fn put<const N: usize>(&mut self, field: [u8; N]) {
        self.bytes[self.len..self.len + N].copy_from_slice(&field);
        self.len += N;
    }

    /// Appends a varint of up to ten bytes.
    #[inline]
    pub(super) fn varint(&mut self, mut value: u64) {
        while value >= 1 << 56 {
            self.put([value.to_le_bytes()[0] | 0x80]);
            value >>= 7;
        }
        // What the reader does, backwards: groups of seven bits move apart in three steps.
        let fours = (value & 0x0fff_ffff) | ((value & 0x00ff_ffff_f000_0000) << 4);
        let pairs = (fours & 0x3fff_0000_3fff) | ((fours & 0x0fff_c000_0fff_c000) << 2);
        let word = (pairs & 0x007f_007f_007f_007f) | ((pairs & 0x3f80_3f80_3f80_3f80) << 1);
        let len = (value | 1).ilog2() / 7 + 1;
        let continued = 0x8080_8080_8080_8080 & ((1 << (8 * (len - 1))) - 1);
        self.bytes[self.len..self.len + 8].copy_from_slice(&(word | continued).to_le_bytes());
        self.len += len as usize;
    }

    #[inline]
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.len]);
    }
}

/// Appends a varint length and the bytes.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends an error: its code as a `u16` LE, its subject, its detail.
pub(super) fn put_error(out: &mut Vec<u8>, error: &CallError) {
    out.extend_from_slice(&error.code().number().to_le_bytes());
    put_bytes(out, error.subject().as_bytes());
    put_bytes(out, error.detail().as_bytes());
}

/// Reads an error and expects the frame to end behind it.
pub(super) fn take_error(reader: &mut Reader<'_>) -> Result<CallError, FrameError> {
    let number = u16::from_le_bytes(reader.array()?);
    let subject = take_text(reader, "subject")?;
    let detail = take_text(reader, "detail")?;
    expect_end(reader)?;
    Ok(CallError::from_wire(number, subject, detail))
}

pub(super) fn expect_end(reader: &Reader<'_>) -> Result<(), FrameError> {
    match reader.remaining() {
        0 => Ok(()),
        count => Err(FrameError::TrailingBytes { count }),
    }
}

fn take_text(reader: &mut Reader<'_>, field: &'static str) -> Result<String, FrameError> {
    match str::from_utf8(reader.bytes()?) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(FrameError::BadText { field }),
    }
}

/// Room for the longest call up to its target, and for the whole word that a varint is written as.
const HEAD_BYTES: usize = 80;

/// The length of a frame's length field, in bytes.
pub const LENGTH_BYTES: usize = 4;
