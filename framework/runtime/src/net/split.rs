//! Splits what arrives on a stream into frames.
//!
//! A frame that lies whole in what QUIC handed over is a slice of it; only one that is cut by the
//! end of a packet is put together in a buffer. A length is checked before anything is kept.

use bytes::{Buf, Bytes, BytesMut};
use callboard_protocol::wire::frame::{self, FrameError, LENGTH_BYTES};

use super::error::LinkDown;
use super::handshake::malformed;

/// Puts frames together from pieces.
#[derive(Debug)]
pub(super) struct Splitter {
    frame_bytes_max: u32,
    /// The start of a frame whose end has not arrived. Empty between frames.
    partial: BytesMut,
}

impl Splitter {
    pub(super) fn new(frame_bytes_max: u32) -> Self {
        Self {
            frame_bytes_max,
            partial: BytesMut::new(),
        }
    }

    /// Takes the next frame from `piece`, or keeps the rest of `piece` for the next one.
    ///
    /// Call it until it returns nothing; `piece` is empty then.
    pub(super) fn next(&mut self, piece: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
        if let Some((frame, _)) = self.whole(piece)? {
            let len = frame.len();
            piece.advance(LENGTH_BYTES);
            return Ok(Some(piece.split_to(len)));
        }
        while !piece.is_empty() {
            let missing = match self.partial.first_chunk::<LENGTH_BYTES>() {
                Some(field) => {
                    let len = frame::length(*field, self.frame_bytes_max)?;
                    LENGTH_BYTES + len - self.partial.len()
                }
                None => LENGTH_BYTES - self.partial.len(),
            };
            self.partial.reserve(missing);
            self.partial
                .extend_from_slice(&piece.split_to(missing.min(piece.len())));
            if let Some(field) = self.partial.first_chunk::<LENGTH_BYTES>() {
                let len = frame::length(*field, self.frame_bytes_max)?;
                if self.partial.len() == LENGTH_BYTES + len {
                    let mut whole = self.partial.split();
                    whole.advance(LENGTH_BYTES);
                    return Ok(Some(whole.freeze()));
                }
            }
        }
        Ok(None)
    }

    /// Gives every frame that ends in `piece` to `each`, with the memory that it lies in, and keeps the
    /// rest for the next piece. Returns how many there were.
    ///
    /// A frame is borrowed: one that is done with at once costs no count of its memory's owners.
    pub(super) fn each(
        &mut self,
        mut piece: Bytes,
        mut each: impl FnMut(&[u8], &Bytes) -> Result<(), LinkDown>,
    ) -> Result<usize, LinkDown> {
        let mut count = 0;
        loop {
            let mut rest: &[u8] = &piece;
            while let Some((frame, behind)) = self.whole(rest).map_err(malformed)? {
                each(frame, &piece)?;
                count += 1;
                rest = behind;
            }
            let used = piece.len() - rest.len();
            piece.advance(used);
            let Some(frame) = self.next(&mut piece).map_err(malformed)? else {
                return Ok(count);
            };
            each(&frame, &frame)?;
            count += 1;
        }
    }

    /// Returns the frame that `piece` begins with, and what is behind it, if the frame lies whole in
    /// it.
    #[inline]
    fn whole<'p>(&self, piece: &'p [u8]) -> Result<Option<Cut<'p>>, FrameError> {
        if !self.partial.is_empty() {
            return Ok(None);
        }
        let Some((field, behind)) = piece.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let len = frame::length(*field, self.frame_bytes_max)?;
        Ok(behind.split_at_checked(len))
    }

    /// Returns whether the last frame was whole.
    pub(super) fn is_between_frames(&self) -> bool {
        self.partial.is_empty()
    }
}

/// A frame, and what is behind it.
type Cut<'p> = (&'p [u8], &'p [u8]);

/// Returns the length that the frame at the start of `pending` announces, once it is there.
pub(super) fn announced(pending: &BytesMut) -> Option<usize> {
    let field = pending.first_chunk::<LENGTH_BYTES>()?;
    usize::try_from(u32::from_le_bytes(*field)).ok()
}

/// Takes the frame of `len` bytes at the start of `pending`, once it is whole.
pub(super) fn take(pending: &mut BytesMut, len: usize) -> Option<Bytes> {
    if pending.len() - LENGTH_BYTES < len {
        return None;
    }
    pending.advance(LENGTH_BYTES);
    Some(pending.split_to(len).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pieces: &[&[u8]]) -> Result<Vec<Bytes>, FrameError> {
        let mut splitter = Splitter::new(8);
        let mut found = Vec::new();
        for piece in pieces {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(frame) = splitter.next(&mut piece)? {
                found.push(frame);
            }
            assert!(piece.is_empty());
        }
        assert!(splitter.is_between_frames());
        let mut lent = Vec::new();
        for piece in pieces {
            let whole = splitter.each(Bytes::copy_from_slice(piece), |frame, memory| {
                lent.push(memory.slice_ref(frame));
                Ok(())
            });
            whole.expect("the frames of these pieces were found a moment ago");
        }
        assert!(splitter.is_between_frames());
        assert_eq!(lent, found, "frames that are lent are the same");
        Ok(found)
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let bytes = b"\x02\0\0\0ab\x01\0\0\0c\x08\0\0\0defghijk";
        let expected = [&b"ab"[..], b"c", b"defghijk"];
        assert_eq!(frames(&[bytes]).expect("whole"), expected);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(frames(&single).expect("single bytes"), expected);
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let cut = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(
                    frames(&cut).expect("cut"),
                    expected,
                    "at {first} and {second}"
                );
            }
        }
    }

    #[test]
    fn a_frame_over_the_cap_is_refused_by_its_length_alone() {
        assert!(matches!(
            frames(&[b"\x09\0\0\0"]),
            Err(FrameError::TooLarge { len: 9, .. })
        ));
        assert!(matches!(
            frames(&[b"\xff", b"\xff\xff\xff"]),
            Err(FrameError::TooLarge { .. })
        ));
        assert!(matches!(
            frames(&[b"\0\0\0\0"]),
            Err(FrameError::UnexpectedEnd)
        ));
    }
}
