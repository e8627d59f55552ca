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

use super::frame::{FrameError, expect_end, put_error, take_error};
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

const KIND_BODY: u8 = 16;
const KIND_ITEM: u8 = 17;
const KIND_END: u8 = 18;
const KIND_FAILED: u8 = 19;
