//! Turns values into bodies and back. The only module that names postcard.
//!
//! Encoding is postcard's. Decoding reads the same format with a depth limit and a size budget,
//! see `limited.rs`. This module knows neither frames nor types: a body carries no type
//! information, and which type it has is agreed by the fingerprints in the hello.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lend::{LONG_BYTES_MIN, Lender};
use super::limited::Limited;
use super::limits::Limits;
use super::reader::ReadError;
use super::shape::Wire;
use crate::code::Code;

/// Appends the encoding of a value to `out`.
///
/// On an error `out` is as long as it was.
///
/// # Errors
///
/// [`EncodeError::TooLarge`] when the encoding has more than `bytes_max` bytes,
/// [`EncodeError::Unsupported`] when the value has no encoding: its serialiser failed, or it has a
/// sequence of unknown length.
#[inline]
pub fn encode_into<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    let start = out.len();
    let end_max = start.saturating_add(bytes_max);
    match postcard::serialize_with_flavor(
        value,
        Appender {
            out: &mut *out,
            end_max,
            parts: None,
        },
    ) {
        Ok(()) => Ok(()),
        Err(error) => {
            out.truncate(start);
            Err(encode_error(&error, bytes_max))
        }
    }
}

/// Takes the long texts and byte strings of an encoding out of it, so that they need not be copied.
pub trait Parts {
    /// Takes the part that ends before a long text or byte string, then that one as a part of its
    /// own. Returns false, and takes neither, when there are parts enough.
    fn split(&mut self, before: &mut Vec<u8>, long: &[u8]) -> bool;
}

/// Encodes a value like [`encode_into`]. A text or byte string of [`LONG_BYTES_MIN`] or more is given to
/// `parts` together with what is before it; what is behind the last one is left in `out`, which has
/// to be empty before.
///
/// # Errors
///
/// As [`encode_into`]; what was given away until then is of no use.
pub fn encode_parts<T: Serialize + ?Sized>(
    value: &T,
    out: &mut Vec<u8>,
    parts: &mut dyn Parts,
    bytes_max: usize,
) -> Result<(), EncodeError> {
    let appender = Appender {
        out,
        end_max: bytes_max,
        parts: Some(parts),
    };
    postcard::serialize_with_flavor(value, appender)
        .map_err(|error| encode_error(&error, bytes_max))
}

/// Gives the long byte strings of a value that can be shared to `lender`.
#[inline]
pub fn lend<T: Wire>(value: &T, lender: &mut dyn Lender) {
    if T::LENDS {
        value.__give_long(lender);
    }
}

/// Decodes a value from bytes that hold it and nothing else.
///
/// Takes time and memory in proportion to the limits, whatever the bytes are.
///
/// # Errors
///
/// [`DecodeError::TooDeep`] and [`DecodeError::OverBudget`] when a limit was reached,
/// [`DecodeError::TrailingBytes`] when the value ends before the bytes do, and the other variants
/// when the bytes are no encoding of a `T`.
#[inline]
pub fn decode<T: Wire>(bytes: &[u8], limits: &DecodeLimits) -> Result<T, DecodeError> {
    decode_plain(bytes, limits)
}

/// Decodes a value like [`decode`], from parts as [`encode_parts`] makes them: every second one is a
/// text or a byte string, which the value takes over.
///
/// # Errors
///
/// As [`decode`]. Parts that end elsewhere than beside a text or a byte string are no encoding.
pub fn decode_parts<T: Wire>(
    mut parts: Vec<Vec<u8>>,
    limits: &DecodeLimits,
) -> Result<T, DecodeError> {
    decode_whole(Limited::of_parts(&mut parts, limits))
}

/// Decodes like [`decode`], for types of the protocol itself, which need no description.
#[inline]
pub(crate) fn decode_plain<T: DeserializeOwned>(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<T, DecodeError> {
    decode_whole(Limited::new(bytes, limits))
}

#[inline]
fn decode_whole<T: DeserializeOwned>(mut decoder: Limited<'_>) -> Result<T, DecodeError> {
    let value = T::deserialize(&mut decoder)?;
    match decoder.remaining() {
        0 => Ok(value),
        count => Err(DecodeError::TrailingBytes { count }),
    }
}

/// Decodes like [`decode_plain`] and ignores what is behind the value.
pub(super) fn decode_prefix<T: DeserializeOwned>(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<T, DecodeError> {
    T::deserialize(&mut Limited::new(bytes, limits))
}

/// What decoding one body may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DecodeLimits {
    /// Levels of nesting. Taken from the type's [`ShapeInfo`](super::ShapeInfo); every level costs
    /// some hundred bytes of stack.
    pub depth: u32,
    /// Bytes of memory for the decoded value, as `limited.rs` counts them.
    pub budget_bytes: u64,
}

impl DecodeLimits {
    /// Returns the limits for a body of this length of a type of this depth.
    ///
    /// The budget grows with the body, so that a small body cannot become a large value, up to
    /// [`Limits::decode_bytes_max`].
    #[inline]
    #[must_use]
    pub fn for_body(body_bytes: usize, depth: u32, limits: &Limits) -> Self {
        let grown = (body_bytes as u64).saturating_mul(u64::from(limits.decode_amplification_max));
        let budget_bytes = grown
            .saturating_add(limits.decode_bytes_min)
            .min(limits.decode_bytes_max);
        Self {
            depth: depth.min(limits.depth_max),
            budget_bytes,
        }
    }
}

/// Why a value could not be encoded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The encoding is longer than allowed.
    #[error("the encoding is over {bytes_max} bytes")]
    TooLarge {
        /// What was allowed.
        bytes_max: usize,
    },
    /// The value has no encoding: its serialiser failed, or a sequence has no known length.
    #[error("the value has no encoding: {reason}")]
    Unsupported {
        /// What the encoder said.
        reason: &'static str,
    },
}

impl EncodeError {
    /// Says whether the value is only too large, not without an encoding.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }
}

/// Why bytes are not the encoding of a value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes ended inside the value, or a length points behind their end.
    #[error("the bytes end inside the value")]
    UnexpectedEnd,
    /// The value ends before the bytes do.
    #[error("{count} bytes are left behind the value")]
    TrailingBytes {
        /// How many bytes are left.
        count: usize,
    },
    /// A number is longer than its type.
    #[error("a number is longer than its type")]
    NumberTooLong,
    /// A boolean is neither 0 nor 1.
    #[error("a boolean is neither 0 nor 1")]
    BadBool,
    /// The mark of an option is neither 0 nor 1.
    #[error("the mark of an option is neither 0 nor 1")]
    BadOption,
    /// A character is not exactly one character.
    #[error("a character is not exactly one character")]
    BadChar,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    BadText,
    /// The value nests deeper than its type's depth.
    #[error("the value nests deeper than {depth} levels")]
    TooDeep {
        /// The levels that were allowed.
        depth: u32,
    },
    /// The value takes more memory than allowed.
    #[error("the value takes more than {budget_bytes} bytes of memory")]
    OverBudget {
        /// The memory that was allowed.
        budget_bytes: u64,
    },
    /// The type cannot be read from a format without type information.
    #[error("not readable from a format without type information: {what}")]
    Unsupported {
        /// What the type asked for.
        what: &'static str,
    },
    /// The type refused the value: an unknown variant, a value out of range.
    #[error("{reason}")]
    Refused {
        /// What the type said, cut at 256 bytes.
        reason: Box<str>,
    },
}

impl DecodeError {
    /// Says whether a limit was reached: the bytes may be an encoding of the type.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooDeep { .. } | Self::OverBudget { .. })
    }

    /// Returns the code for a call whose arguments failed like this: over a limit or undecodable.
    #[must_use]
    pub fn code(&self) -> Code {
        if self.is_limit() {
            Code::BodyOverLimit
        } else {
            Code::BodyUndecodable
        }
    }
}

impl serde::de::Error for DecodeError {
    #[cold]
    fn custom<T: fmt::Display>(reason: T) -> Self {
        let mut reason = reason.to_string();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        Self::Refused {
            reason: reason.into_boxed_str(),
        }
    }
}

impl From<ReadError> for DecodeError {
    #[inline]
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::UnexpectedEnd => Self::UnexpectedEnd,
            ReadError::NumberTooLong => Self::NumberTooLong,
        }
    }
}

/// Postcard's output: appends to a vector up to a length.
struct Appender<'a> {
    out: &'a mut Vec<u8>,
    end_max: usize,
    /// Where long texts and byte strings go.
    parts: Option<&'a mut dyn Parts>,
}

impl Appender<'_> {
    /// Gives a long text or byte string away; returns whether that was possible.
    fn split(&mut self, long: &[u8]) -> bool {
        let Some(parts) = &mut self.parts else {
            return false;
        };
        let left = self.end_max - self.out.len();
        if parts.split(self.out, long) {
            self.end_max = left - long.len();
            return true;
        }
        false
    }
}

impl postcard::ser_flavors::Flavor for Appender<'_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        if data.len() > self.end_max - self.out.len() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        if data.len() < LONG_BYTES_MIN || !self.split(data) {
            self.out.extend_from_slice(data);
        }
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        if self.out.len() >= self.end_max {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.out.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cold]
fn encode_error(error: &postcard::Error, bytes_max: usize) -> EncodeError {
    match error {
        postcard::Error::SerializeBufferFull => EncodeError::TooLarge { bytes_max },
        postcard::Error::SerializeSeqLengthUnknown => EncodeError::Unsupported {
            reason: "a sequence of unknown length",
        },
        _ => EncodeError::Unsupported {
            reason: "its serialiser failed",
        },
    }
}

/// The longest reason of a type that is kept, in bytes.
const REASON_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests;
