//! A QUIC stream that belongs to one call: for large bodies and for streamed items.
//!
//! Frames here have the same length in front as on a lane, and are not bounded by the lane's cap
//! but by the reader's. What they say is not known here. Flow control is QUIC's: a slow reader
//! stops the writer.

use std::future::pending;
use std::mem;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use callboard_protocol::code::Code;
use callboard_protocol::id::CallId;
use callboard_protocol::wire::frame::LENGTH_BYTES;
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

use super::close;
use super::error::LinkDown;
use super::split;

/// Whose call a stream belongs to, seen from the side that opens it. Each side numbers its own
/// calls, so the number alone does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamFor {
    /// A call that the opener made: it carries the arguments.
    Call,
    /// A call that the opener is answering: it carries the reply.
    Reply,
}

/// Why a stream cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamError {
    /// The other side gave up writing.
    #[error("the writer gave up{}", of_reset(*.0))]
    Reset(Code),
    /// The other side gave up reading.
    #[error("the reader gave up: {0}")]
    Stopped(Code),
    /// The link is down.
    #[error("the link is down: {0}")]
    Down(LinkDown),
    /// A frame or a body is longer than allowed.
    #[error("{len} bytes, of {max} allowed")]
    TooLarge {
        /// The bytes announced or received.
        len: usize,
        /// The bytes allowed.
        max: usize,
    },
    /// The stream does not say what it is for.
    #[error("the first bytes of the stream mean nothing")]
    Preface,
    /// The stream ended inside a frame, or was used after its end.
    #[error("the stream ended inside a frame")]
    Truncated,
    /// What was begun came too slowly.
    #[error("the writer stood still for {0:?}")]
    Stalled(Duration),
}

/// The writing half. Dropping it before [`finish`](Self::finish) resets the stream, so that the
/// reader does not take a part for the whole.
#[derive(Debug)]
pub(crate) struct SendStream {
    inner: quinn::SendStream,
    /// What goes out in front of the next long piece.
    scratch: Vec<u8>,
    ended: bool,
    /// Cancelled once this node leaves.
    leaving: CancellationToken,
}

impl SendStream {
    pub(super) fn new(inner: quinn::SendStream, leaving: CancellationToken) -> Self {
        Self {
            inner,
            scratch: Vec::new(),
            ended: false,
            leaving,
        }
    }

    /// Writes one frame with its length in front, and waits until QUIC has room for it. The frame comes
    /// in pieces; those that are long are handed over and not copied.
    ///
    /// # Errors
    /// [`StreamError::Stopped`] if the reader gave up, [`StreamError::Down`] if the link is down,
    /// [`StreamError::TooLarge`] for more than 4 GiB.
    ///
    /// # Cancel safety
    /// None: a part of the frame may have been written. Drop the stream then.
    pub(crate) async fn write_frame(&mut self, pieces: Vec<Bytes>) -> Result<(), StreamError> {
        let len = pieces.iter().map(Bytes::len).sum();
        let Ok(length) = u32::try_from(len) else {
            let max = u32::MAX as usize;
            return Err(StreamError::TooLarge { len, max });
        };
        let mut front = mem::take(&mut self.scratch);
        front.extend_from_slice(&length.to_le_bytes());
        let mut chunks = Vec::with_capacity(2 * pieces.len() + 1);
        for piece in pieces {
            if piece.len() <= COPIED_BYTES_MAX {
                front.extend_from_slice(&piece);
            } else {
                chunks.extend([mem::take(&mut front).into(), piece]);
            }
        }
        // One write for all of it: each one takes the connection's lock.
        if chunks.is_empty() {
            let written = self.inner.write_all(&front).await.map_err(write_error);
            front.clear();
            self.scratch = front;
            return written;
        }
        if !front.is_empty() {
            chunks.push(front.into());
        }
        chunks.retain(|chunk: &Bytes| !chunk.is_empty());
        let written = self.inner.write_all_chunks(&mut chunks);
        written.await.map_err(write_error)
    }

    /// Ends the stream. What was written is still delivered.
    pub(crate) fn finish(&mut self) {
        self.ended = true;
        // It fails only if the reader has stopped the stream: there is nothing to end.
        let _ = self.inner.finish();
    }

    /// Gives up. What was written and has not arrived is lost; the reader is told the code.
    pub(crate) fn reset(&mut self, why: Code) {
        self.ended = true;
        let _ = self.inner.reset(close::number(why));
    }

    /// Returns a future that is ready when the reader gave up, with its code, or has received
    /// everything up to the end, with nothing.
    ///
    /// # Errors
    /// [`StreamError::Down`] if the link is down.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) fn ended_by_reader(
        &self,
    ) -> impl Future<Output = Result<Option<Code>, StreamError>> + Send + 'static {
        let stopped = self.inner.stopped();
        async move {
            match stopped.await {
                Ok(number) => Ok(number.map(code_or_broken)),
                Err(quinn::StoppedError::ConnectionLost(error)) => Err(down(&error)),
                Err(quinn::StoppedError::ZeroRttRejected) => Err(StreamError::Truncated),
            }
        }
    }

    /// Writes the preface that says which call the stream belongs to.
    pub(super) async fn write_preface(
        &mut self,
        call: CallId,
        purpose: StreamFor,
    ) -> Result<(), StreamError> {
        let preface = preface(call, purpose);
        self.inner.write_all(&preface).await.map_err(write_error)
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if !self.ended {
            self.reset(match self.leaving.is_cancelled() {
                true => Code::NodeStopping,
                false => Code::StreamBroken,
            });
        }
    }
}

/// The reading half. Dropping it before the end tells the writer to stop.
#[derive(Debug)]
pub(crate) struct RecvStream {
    inner: quinn::RecvStream,
    pending: BytesMut,
    /// How long a piece of what was begun may take.
    stall: Duration,
}

impl RecvStream {
    pub(super) fn new(inner: quinn::RecvStream, stall: Duration) -> Self {
        Self {
            inner,
            pending: BytesMut::new(),
            stall,
        }
    }

    /// Reads the length of the next frame, of at most `bytes_max` bytes, which has to begin now;
    /// returns nothing at the end of the stream.
    ///
    /// # Errors
    /// As [`read_frame`](Self::read_frame).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: what was read is kept for the next call.
    pub(crate) async fn announced(
        &mut self,
        bytes_max: usize,
    ) -> Result<Option<usize>, StreamError> {
        self.length(bytes_max, true).await
    }

    /// Reads the length of the next frame as [`announced`](Self::announced) does, whenever it begins.
    ///
    /// # Errors
    /// As [`read_frame`](Self::read_frame).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: what was read is kept for the next call.
    pub(crate) async fn next_length(
        &mut self,
        bytes_max: usize,
    ) -> Result<Option<usize>, StreamError> {
        self.length(bytes_max, false).await
    }

    async fn length(&mut self, bytes_max: usize, due: bool) -> Result<Option<usize>, StreamError> {
        let alarm = pin!(sleep(self.stall));
        let mut pace = self.pace(alarm);
        loop {
            if let Some(len) = split::announced(&self.pending) {
                return fitting(len, bytes_max).map(Some);
            }
            let due = due || !self.pending.is_empty();
            if !self.read_more(&mut pace, due).await? {
                return Ok(None);
            }
        }
    }

    /// Ends when the writer gave up or the link is down, with which of the two. What was not read then
    /// is lost. A stream that is there up to its end cannot be given up any more.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) async fn given_up(&mut self) -> StreamError {
        match self.inner.received_reset().await {
            Ok(Some(number)) => StreamError::Reset(code_or_broken(number)),
            Ok(None) => pending().await,
            Err(quinn::ResetError::ConnectionLost(error)) => down(&error),
            Err(quinn::ResetError::ZeroRttRejected) => StreamError::Truncated,
        }
    }

    /// Reads the next frame of at most `bytes_max` bytes, or nothing at the end of the stream.
    ///
    /// # Errors
    /// [`StreamError::TooLarge`] before anything is kept of a longer frame,
    /// [`StreamError::Truncated`] if the stream ends inside a frame, [`StreamError::Reset`] if
    /// the writer gave up, [`StreamError::Stalled`] if the frame has begun and does not go on,
    /// [`StreamError::Down`] if the link is down.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: what was read is kept for the next call.
    pub(crate) async fn read_frame(
        &mut self,
        bytes_max: usize,
    ) -> Result<Option<Bytes>, StreamError> {
        let alarm = pin!(sleep(self.stall));
        let mut pace = self.pace(alarm);
        loop {
            if let Some(len) = split::announced(&self.pending) {
                let len = fitting(len, bytes_max)?;
                if let Some(frame) = split::take(&mut self.pending, len) {
                    return Ok(Some(frame));
                }
                self.pending.reserve(ahead(self.pending.len(), len));
            }
            let begun = !self.pending.is_empty();
            if !self.read_more(&mut pace, begun).await? {
                return Ok(None);
            }
        }
    }

    /// Begins to read the frame that was [announced](Self::announced) in pieces: what is read next is its
    /// contents.
    pub(crate) fn enter_frame(&mut self) {
        self.pending.advance(self.pending.len().min(LENGTH_BYTES));
    }

    /// Reads the next `len` bytes of the frame that was entered, in memory of their own.
    ///
    /// # Errors
    /// As [`read_frame`](Self::read_frame).
    ///
    /// # Cancel safety
    /// None: what was read of it is lost. Drop the stream then.
    pub(crate) async fn read_piece(&mut self, len: usize) -> Result<Vec<u8>, StreamError> {
        let mut piece = Vec::new();
        let ready = self.pending.len().min(len);
        piece.extend_from_slice(&self.pending[..ready]);
        self.pending.advance(ready);
        let alarm = pin!(sleep(self.stall));
        let mut pace = self.pace(alarm);
        while piece.len() < len {
            let chunk = self.next_chunk(&mut pace, len - piece.len(), true).await?;
            let chunk = chunk.ok_or(StreamError::Truncated)?;
            let come = piece.len() + chunk.len();
            if piece.capacity() < come {
                let ahead = match come {
                    0..CREDITED_BYTES_MIN => 0,
                    _ => come.max(AHEAD_BYTES_MAX),
                };
                piece.reserve_exact(chunk.len() + ahead.min(len - come));
            }
            piece.extend_from_slice(&chunk);
        }
        Ok(piece)
    }

    fn pace<'a>(&self, alarm: Pin<&'a mut Sleep>) -> Pace<'a> {
        Pace {
            stall: self.stall,
            piece: 0,
            alarm,
        }
    }

    /// Reads a chunk; returns false at the end of the stream. With something `due`, it comes at
    /// the pace or the stream is given up.
    async fn read_more(&mut self, pace: &mut Pace<'_>, due: bool) -> Result<bool, StreamError> {
        match self.next_chunk(pace, CHUNK_BYTES_MAX, due).await? {
            Some(chunk) => {
                self.pending.extend_from_slice(&chunk);
                Ok(true)
            }
            None if self.pending.is_empty() => Ok(false),
            None => Err(StreamError::Truncated),
        }
    }

    async fn next_chunk(
        &mut self,
        pace: &mut Pace<'_>,
        bytes_max: usize,
        due: bool,
    ) -> Result<Option<Bytes>, StreamError> {
        // Both branches are cancel safe: quinn keeps what was not taken.
        let chunk = tokio::select! {
            biased;
            chunk = self.inner.read_chunk(bytes_max, true) => chunk.map_err(read_error)?,
            () = pace.alarm.as_mut(), if due => return Err(StreamError::Stalled(self.stall)),
        };
        Ok(chunk.map(|chunk| {
            pace.took(chunk.bytes.len(), due);
            chunk.bytes
        }))
    }

    /// Reads the preface of a stream that the other side opened.
    pub(super) async fn read_preface(
        &mut self,
        within: Duration,
    ) -> Result<(CallId, StreamFor), StreamError> {
        let mut preface = [0; PREFACE_BYTES];
        let read = tokio::time::timeout(within, self.inner.read_exact(&mut preface)).await;
        match read {
            Ok(Ok(())) => {}
            Ok(Err(quinn::ReadExactError::ReadError(error))) => return Err(read_error(error)),
            Ok(Err(quinn::ReadExactError::FinishedEarly(_))) => return Err(StreamError::Truncated),
            Err(_) => return Err(StreamError::Stalled(within)),
        }
        parse_preface(preface).ok_or(StreamError::Preface)
    }
}

/// How fast what was begun has to come.
struct Pace<'a> {
    stall: Duration,
    /// The bytes of the piece that is under way.
    piece: usize,
    alarm: Pin<&'a mut Sleep>,
}

impl Pace<'_> {
    /// Takes in that some bytes came; the first ones of what was not due begin it.
    fn took(&mut self, bytes: usize, due: bool) {
        self.piece += bytes;
        if self.piece >= PIECE_BYTES || !due {
            self.piece = 0;
            self.alarm.as_mut().reset(Instant::now() + self.stall);
        }
    }
}

/// Returns how much room a frame of `len` bytes gets of which `come` bytes are there with its length:
/// a body of a usual size is then never moved. Pages that nothing was written to cost no memory, and
/// a frame that has brought next to nothing gets next to nothing all the same.
fn ahead(come: usize, len: usize) -> usize {
    let missing = (len + LENGTH_BYTES).saturating_sub(come);
    match come {
        0..CREDITED_BYTES_MIN => 0,
        _ => missing.min(come.max(AHEAD_BYTES_MAX)),
    }
}

fn fitting(len: usize, max: usize) -> Result<usize, StreamError> {
    match len > max {
        true => Err(StreamError::TooLarge { len, max }),
        false => Ok(len),
    }
}

fn preface(call: CallId, purpose: StreamFor) -> [u8; PREFACE_BYTES] {
    let mut preface = [0; PREFACE_BYTES];
    preface[0] = match purpose {
        StreamFor::Call => FOR_CALL,
        StreamFor::Reply => FOR_REPLY,
    };
    preface[1..].copy_from_slice(&call.0.to_le_bytes());
    preface
}

fn parse_preface([purpose, call @ ..]: [u8; PREFACE_BYTES]) -> Option<(CallId, StreamFor)> {
    let purpose = match purpose {
        FOR_CALL => StreamFor::Call,
        FOR_REPLY => StreamFor::Reply,
        _ => return None,
    };
    Some((CallId(u64::from_le_bytes(call)), purpose))
}

fn write_error(error: quinn::WriteError) -> StreamError {
    match error {
        quinn::WriteError::Stopped(number) => StreamError::Stopped(code_or_broken(number)),
        quinn::WriteError::ConnectionLost(error) => down(&error),
        quinn::WriteError::ClosedStream | quinn::WriteError::ZeroRttRejected => {
            StreamError::Truncated
        }
    }
}

fn read_error(error: quinn::ReadError) -> StreamError {
    match error {
        quinn::ReadError::Reset(number) => StreamError::Reset(code_or_broken(number)),
        quinn::ReadError::ConnectionLost(error) => down(&error),
        quinn::ReadError::ClosedStream
        | quinn::ReadError::IllegalOrderedRead
        | quinn::ReadError::ZeroRttRejected => StreamError::Truncated,
    }
}

/// Says what a reset comes from, if its code says more than that there was one.
fn of_reset(code: Code) -> String {
    match code {
        Code::StreamBroken => {
            " before its end: its actor has ended or was stopped, or its call was dropped".into()
        }
        Code::NodeStopping => " before its end: its node is stopping".into(),
        code => format!(": {code}"),
    }
}

fn down(error: &quinn::ConnectionError) -> StreamError {
    StreamError::Down(close::reason(error))
}

fn code_or_broken(number: quinn::VarInt) -> Code {
    close::code(number).unwrap_or(Code::StreamBroken)
}

/// A byte for whose call it is, and the call's number, little-endian.
const PREFACE_BYTES: usize = 9;
const FOR_CALL: u8 = 0;
const FOR_REPLY: u8 = 1;

/// Up to here a piece is copied behind the one before; beyond, one of its own costs less.
const COPIED_BYTES_MAX: usize = 4 << 10;

const CHUNK_BYTES_MAX: usize = 64 << 10;

/// A frame of which so much has come is taken for an honest one.
const CREDITED_BYTES_MIN: usize = 1 << 10;

/// What an honest frame gets at once. A longer one gets as much again as has come.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// What has to come within the stall time of what was begun.
const PIECE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_alone_gets_no_room_and_a_usual_body_all_of_it() {
        assert_eq!(ahead(4, 64 << 20), 0);
        assert_eq!(ahead(1000, 64 << 20), 0);
        assert_eq!(ahead(6004, 1 << 20), (1 << 20) - 6000);
        assert_eq!(ahead(6004, 64 << 20), 1 << 20);
        assert_eq!(ahead(16 << 20, 64 << 20), 16 << 20);
        assert_eq!(ahead(2004, 2000), 0);
    }

    #[test]
    fn the_bytes_of_the_preface_are_stable() {
        let call = CallId(0x0102_0304_0506_0708);
        let golden = [
            (StreamFor::Call, [0, 8, 7, 6, 5, 4, 3, 2, 1]),
            (StreamFor::Reply, [1, 8, 7, 6, 5, 4, 3, 2, 1]),
        ];
        for (purpose, bytes) in golden {
            assert_eq!(preface(call, purpose), bytes);
            assert_eq!(parse_preface(bytes), Some((call, purpose)));
        }
        assert_eq!(parse_preface([2; PREFACE_BYTES]), None);
    }
}
