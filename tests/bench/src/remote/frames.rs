//! Frames with their length in front on one stream, as fast as they go: many are written at once and
//! many are read at once.
//!
//! ```text
//! length (u32) | kind (u8) | id (u64) | body
//! ```

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::Notify;

/// What a frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The body back.
    Echo = 0,
    /// The length of the body.
    Put = 1,
    /// Nothing.
    Send = 2,
    /// How many frames asked for nothing so far.
    Count = 3,
}

/// One frame that was read.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) body: &'a [u8],
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pending: Mutex<Pending>,
    /// Wakes the writer.
    work: Notify,
    /// Wakes those who wait for room.
    room: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    /// Large bodies, each with what was before it.
    whole: Vec<Bytes>,
    tail: BytesMut,
    bytes: usize,
    frames: usize,
}

/// What a stream of bytes can be written with in pieces that are already there.
pub(crate) trait Sink {
    /// Writes all of them.
    fn write_pieces(
        &mut self,
        pieces: &mut [Bytes],
    ) -> impl Future<Output = std::io::Result<()>> + Send;
}

impl Outbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Appends a frame.
    pub(crate) fn push(&self, kind: Kind, id: u64, body: &Bytes) {
        self.append(kind, id, body.len(), |pending| {
            if body.len() < WHOLE_BYTES_MIN {
                pending.tail.extend_from_slice(body);
            } else {
                let before = pending.tail.split().freeze();
                pending.whole.extend([before, body.clone()]);
            }
        });
    }

    /// Appends a frame with a body that is copied.
    pub(crate) fn push_slice(&self, kind: Kind, id: u64, body: &[u8]) {
        self.append(kind, id, body.len(), |pending| {
            pending.tail.extend_from_slice(body);
        });
    }

    fn append(&self, kind: Kind, id: u64, len: usize, body: impl FnOnce(&mut Pending)) {
        let mut pending = self.lock();
        pending
            .tail
            .reserve(HEADER_BYTES + len.min(WHOLE_BYTES_MIN));
        pending
            .tail
            .put_u32_le((len + HEADER_BYTES - LENGTH_BYTES) as u32);
        pending.tail.put_u8(kind as u8);
        pending.tail.put_u64_le(id);
        body(&mut pending);
        pending.bytes += HEADER_BYTES + len;
        pending.frames += 1;
        let first = pending.frames == 1;
        drop(pending);
        if first {
            self.work.notify_one();
        }
    }

    /// Waits until less than a bound waits to be written.
    pub(crate) async fn writable(&self) {
        while self.lock().bytes >= PENDING_BYTES_MAX {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered BEFORE looking again, so that a change after the look is not missed.
            room.as_mut().enable();
            if self.lock().bytes >= PENDING_BYTES_MAX {
                room.await;
            }
        }
    }

    /// Writes what is appended, until the stream fails. With more than one frame waiting, now or
    /// the last time, it lets other tasks run once before it takes them.
    pub(crate) async fn write_to<S: Sink>(&self, mut stream: S) -> std::io::Result<()> {
        let mut last = 0;
        loop {
            let frames = self.lock().frames;
            if frames == 0 {
                self.work.notified().await;
                continue;
            }
            if frames > 1 || last > 1 {
                tokio::task::yield_now().await;
            }
            let (mut pieces, frames) = self.take();
            last = frames;
            stream.write_pieces(&mut pieces).await?;
        }
    }

    fn take(&self) -> (Vec<Bytes>, usize) {
        let mut pending = self.lock();
        let mut pieces = mem::take(&mut pending.whole);
        pieces.push(pending.tail.split().freeze());
        let was_full = mem::take(&mut pending.bytes) >= PENDING_BYTES_MAX;
        let frames = mem::take(&mut pending.frames);
        drop(pending);
        if was_full {
            self.room.notify_waiters();
        }
        (pieces, frames)
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for quinn::SendStream {
    async fn write_pieces(&mut self, pieces: &mut [Bytes]) -> std::io::Result<()> {
        Ok(self.write_all_chunks(pieces).await?)
    }
}

/// Reads frames until the stream ends or `each` returns `false`.
pub(crate) async fn read_frames<R: AsyncRead + Unpin>(
    stream: &mut R,
    mut each: impl FnMut(Frame<'_>) -> bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    let (mut start, mut end) = (0, 0);
    loop {
        let read = stream.read(&mut buffer[end..]).await?;
        if read == 0 {
            return Ok(());
        }
        end += read;
        let mut wanted = HEADER_BYTES;
        while let Some(header) = buffer[start..end].first_chunk::<HEADER_BYTES>() {
            let whole = frame_bytes(header);
            if end - start < whole {
                wanted = whole;
                break;
            }
            let (kind, id) = kind_and_id(header);
            let body = &buffer[start + HEADER_BYTES..start + whole];
            if !each(Frame { kind, id, body }) {
                return Ok(());
            }
            start += whole;
        }
        if start == end {
            (start, end) = (0, 0);
        } else if buffer.len() - start < wanted || end == buffer.len() {
            buffer.copy_within(start..end, 0);
            (start, end) = (0, end - start);
        }
        if buffer.len() < wanted * 2 {
            buffer.resize(wanted * 2, 0);
        }
    }
}

fn frame_bytes(header: &[u8; HEADER_BYTES]) -> usize {
    let [a, b, c, d, ..] = *header;
    LENGTH_BYTES + u32::from_le_bytes([a, b, c, d]) as usize
}

fn kind_and_id(header: &[u8; HEADER_BYTES]) -> (Kind, u64) {
    let [_, _, _, _, kind, id @ ..] = *header;
    let kind = match kind {
        0 => Kind::Echo,
        1 => Kind::Put,
        2 => Kind::Send,
        _ => Kind::Count,
    };
    (kind, u64::from_le_bytes(id))
}

const LENGTH_BYTES: usize = 4;
const HEADER_BYTES: usize = LENGTH_BYTES + 1 + 8;

/// Bodies from this size on are handed over instead of copied.
const WHOLE_BYTES_MIN: usize = 16 << 10;

/// What may wait to be written before sends wait: as Callboard's `lane_buffer_bytes_max`.
const PENDING_BYTES_MAX: usize = 4 << 20;

const READ_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at a time.
    struct Pieces(Bytes, usize);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            into: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let len = self.1.min(self.0.len()).min(into.remaining());
            into.put_slice(&self.0.split_to(len));
            std::task::Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn frames_are_read_as_written_wherever_the_stream_is_cut() {
        let bodies = [0, 1, 100, WHOLE_BYTES_MIN, READ_BYTES + 1, 3].map(|len| {
            let bytes: Vec<u8> = (0..len).map(|at| at as u8).collect();
            Bytes::from(bytes)
        });
        let outbox = Outbox::new();
        for (id, body) in bodies.iter().enumerate() {
            outbox.push(Kind::Put, id as u64, body);
        }
        let (pieces, frames) = outbox.take();
        assert_eq!(frames, bodies.len());
        let written = Bytes::from(pieces.concat());
        for piece in [1, 12, 13, 1000, usize::MAX] {
            let mut read = Vec::new();
            let mut stream = Pieces(written.clone(), piece);
            let ended = read_frames(&mut stream, |frame| {
                assert_eq!(frame.kind, Kind::Put);
                assert_eq!(frame.id, read.len() as u64);
                read.push(Bytes::copy_from_slice(frame.body));
                true
            });
            ended.await.expect("whole frames");
            assert_eq!(read, bodies);
        }
    }
}
