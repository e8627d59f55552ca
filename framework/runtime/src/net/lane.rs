//! One outgoing lane: frames are encoded in place into a buffer, and one task writes them.
//!
//! ```text
//! append ─┐                      ┌─ swap ─> batch ── write ──> QUIC stream
//! append ─┼─> buffer (bounded) ──┤
//! append ─┘   one short lock     └─ the emptied batch becomes the buffer
//! ```
//!
//! A lane knows that frames have a length in front, and nothing of what they say. It decides
//! neither what to do when it is full nor what a failed write means.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use callboard_protocol::wire::frame;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::error::AppendError;
use super::stats::Stats;
use super::traffic::Traffic;

/// A lane's buffer, shared by those who append and the task that writes.
#[derive(Debug)]
pub(super) struct Lane {
    bytes_max: usize,
    frame_bytes_max: u32,
    buffer: Mutex<Buffer>,
    /// Wakes the writer: there is something to write, or the end.
    work: Notify,
    /// Wakes those who wait until the buffer is below its bound, or the end.
    room: Notify,
    /// Set when the peer has acknowledged everything, or never will.
    flushed: CancellationToken,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    frames: usize,
    /// The bytes that the writer has ever taken: where `bytes` starts.
    taken: u64,
    /// Somebody waits until the writer takes what is here.
    awaited: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// Takes no more frames; those it has are still written.
    Finishing,
    /// Takes nothing and writes nothing.
    Down,
}

/// What the writer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Frames { count: usize, bytes: usize },
    Finish,
    Stop,
}

impl Lane {
    pub(super) fn new(bytes_max: usize, frame_bytes_max: u32) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            frame_bytes_max,
            buffer: Mutex::default(),
            work: Notify::new(),
            room: Notify::new(),
            flushed: CancellationToken::new(),
        })
    }

    /// Appends the frame whose contents `encode` writes, with its length in front, and returns
    /// where it ends. On an error, and if `encode` panics, the buffer is as before.
    pub(super) fn append<E>(
        &self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<u64, AppendError<E>> {
        self.append_whole(|bytes| {
            let start = frame::begin(bytes);
            encode(bytes).map_err(AppendError::Encode)?;
            let len = bytes
                .len()
                .saturating_sub(start.offset() + frame::LENGTH_BYTES);
            let max = self.frame_bytes_max;
            frame::end(bytes, start, max).map_err(|_| AppendError::TooLarge {
                len,
                max: max as usize,
            })
        })
    }

    /// Appends a frame that `encode` writes together with its length; see
    /// [`append`](Self::append).
    pub(super) fn append_whole<E>(
        &self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), AppendError<E>>,
    ) -> Result<u64, AppendError<E>> {
        let mut buffer = self.lock();
        if buffer.state != State::Open {
            return Err(AppendError::Down);
        }
        let start = buffer.bytes.len();
        if start >= self.bytes_max {
            return Err(AppendError::Full);
        }
        let mut rollback = Rollback {
            bytes: &mut buffer.bytes,
            start,
            keep: false,
        };
        encode(rollback.bytes)?;
        rollback.keep = true;
        drop(rollback);
        buffer.frames += 1;
        let end = buffer.taken + buffer.bytes.len() as u64;
        drop(buffer);
        // The writer takes everything, so it has to be woken by the first frame only.
        if start == 0 {
            self.work.notify_one();
        }
        Ok(end)
    }

    /// Takes no more frames, and lets the writer end once it has written those it has.
    pub(super) fn finish(&self) {
        let mut buffer = self.lock();
        if buffer.state == State::Open {
            buffer.state = State::Finishing;
        }
        drop(buffer);
        self.wake_all();
    }

    /// Takes and writes nothing from now on. What was not taken by the writer is never sent.
    pub(super) fn shut(&self) {
        let mut buffer = self.lock();
        buffer.state = State::Down;
        buffer.bytes = Vec::new();
        buffer.frames = 0;
        drop(buffer);
        self.wake_all();
    }

    /// Says that the peer has acknowledged everything, or never will.
    pub(super) fn set_flushed(&self) {
        self.flushed.cancel();
    }

    /// Waits until the peer has acknowledged everything, which it does only after
    /// [`finish`](Self::finish), or never will.
    pub(super) async fn flushed(&self) {
        self.flushed.cancelled().await;
    }

    /// Returns whether the writer had taken the frame that ended at `end`.
    pub(super) fn has_taken(&self, end: u64) -> bool {
        end <= self.lock().taken
    }

    /// Returns how many bytes wait, and how many may: the last frame may go over the bound.
    pub(super) fn held_bytes(&self) -> (u64, u64) {
        let most = self.bytes_max as u64 + u64::from(self.frame_bytes_max);
        (self.lock().bytes.len() as u64, most)
    }

    /// Waits until the buffer is below its bound, or takes nothing any more.
    pub(super) async fn writable(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered BEFORE looking, so that a change after the look is not missed.
            room.as_mut().enable();
            if !self.lock().is_full(self.bytes_max) {
                return;
            }
            room.await;
        }
    }

    /// Waits until the writer has taken the frame that ended at `end`, or never will.
    pub(super) async fn taken(&self, end: u64) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered BEFORE looking, so that a change after the look is not missed.
            room.as_mut().enable();
            {
                let mut buffer = self.lock();
                if end <= buffer.taken || buffer.state == State::Down {
                    return;
                }
                buffer.awaited = true;
            }
            room.await;
        }
    }

    /// Writes what is appended, until the lane is finished or down, or the stream fails.
    ///
    /// With more than one frame waiting, now or the last time, it lets other tasks run once before
    /// it takes the buffer, so that what they append leaves in the same packets. A single call in
    /// flight is written at once, and so is what fills a packet anyway: the peer has work while the
    /// other tasks run. So is everything beside a large body: the next to run would be QUIC, which
    /// encrypts as much of it as there is room for.
    pub(super) async fn write_to(
        &self,
        stream: &mut quinn::SendStream,
        stats: &Stats,
        traffic: &Traffic,
    ) -> Result<(), quinn::WriteError> {
        let mut batch = Vec::new();
        let mut last_frames = 0;
        loop {
            match self.work().await {
                Work::Stop => return Ok(()),
                Work::Finish => {
                    // It fails only if the peer has stopped the stream: there is nothing to end.
                    let _ = stream.finish();
                    return Ok(());
                }
                Work::Frames { count, bytes }
                    if may_get_more(count.max(last_frames), bytes) && !traffic.is_loaded() =>
                {
                    tokio::task::yield_now().await;
                }
                Work::Frames { .. } => {}
            }
            last_frames = self.take(&mut batch);
            traffic.lane(last_frames, batch.len());
            stream.write_all(&batch).await?;
            stats.sent(last_frames, batch.len());
            empty(&mut batch);
        }
    }

    async fn work(&self) -> Work {
        loop {
            {
                let buffer = self.lock();
                match buffer.state {
                    State::Down => return Work::Stop,
                    _ if buffer.frames > 0 => {
                        return Work::Frames {
                            count: buffer.frames,
                            bytes: buffer.bytes.len(),
                        };
                    }
                    State::Finishing => return Work::Finish,
                    State::Open => {}
                }
            }
            self.work.notified().await;
        }
    }

    /// Swaps the buffer with the empty `batch` and returns the frames in it.
    fn take(&self, batch: &mut Vec<u8>) -> usize {
        let mut buffer = self.lock();
        let wakes = buffer.is_full(self.bytes_max) | mem::take(&mut buffer.awaited);
        mem::swap(&mut buffer.bytes, batch);
        buffer.taken += batch.len() as u64;
        let frames = mem::take(&mut buffer.frames);
        drop(buffer);
        if wakes {
            self.room.notify_waiters();
        }
        frames
    }

    fn wake_all(&self) {
        self.work.notify_one();
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Buffer> {
        // A panic while encoding is rolled back, so the buffer is whole.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffer {
    fn is_full(&self, bytes_max: usize) -> bool {
        self.state == State::Open && self.bytes.len() >= bytes_max
    }
}

/// Cuts the buffer back to where the frame started, unless it is kept.
struct Rollback<'a> {
    bytes: &'a mut Vec<u8>,
    start: usize,
    keep: bool,
}

impl Drop for Rollback<'_> {
    fn drop(&mut self) {
        if !self.keep {
            self.bytes.truncate(self.start);
        }
    }
}

/// Empties a buffer for what comes next, which is taken for as much as what it had.
fn empty(batch: &mut Vec<u8>) {
    let kept = BUFFER_BYTES_KEPT.max(2 * batch.len());
    batch.clear();
    batch.shrink_to(kept);
}

/// Returns whether a wait for more frames is worth it, with so many waiting, now or the last time.
fn may_get_more(frames: usize, bytes: usize) -> bool {
    frames > 1 && bytes < PACKET_BYTES
}

/// So much fills most of a packet: more frames would hardly make it cheaper to send.
const PACKET_BYTES: usize = 4 << 10;

/// What an empty buffer keeps of its memory, however little it has held: a burst must not cost its peak for
/// ever.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn put(lane: &Lane, body: &[u8]) -> Result<u64, AppendError<Infallible>> {
        lane.append(|bytes| {
            bytes.extend_from_slice(body);
            Ok(())
        })
    }

    #[test]
    fn a_buffer_keeps_what_bursts_need_while_they_last() {
        let burst = 1 << 20;
        let mut batch = vec![0; burst];
        empty(&mut batch);
        assert!(batch.is_empty() && batch.capacity() >= burst);
        batch.extend_from_slice(b"a small one");
        empty(&mut batch);
        assert!(batch.capacity() < 2 * BUFFER_BYTES_KEPT);
    }

    #[test]
    fn frames_are_appended_with_their_length_in_front() {
        let lane = Lane::new(1000, 100);
        assert_eq!(put(&lane, b"ab"), Ok(6));
        assert_eq!(put(&lane, b"c"), Ok(11));
        let mut batch = Vec::new();
        assert_eq!(lane.take(&mut batch), 2);
        assert_eq!(batch, b"\x02\0\0\0ab\x01\0\0\0c");
    }

    #[test]
    fn a_frame_has_left_exactly_when_the_writer_took_it() {
        let lane = Lane::new(1000, 100);
        let first = put(&lane, b"ab").expect("room");
        let mut batch = Vec::new();
        assert!(!lane.has_taken(first));
        lane.take(&mut batch);
        let second = put(&lane, b"cd").expect("room");
        assert!(lane.has_taken(first));
        assert!(!lane.has_taken(second));
        lane.shut();
        batch.clear();
        assert_eq!(lane.take(&mut batch), 0);
        assert!(lane.has_taken(first));
        assert!(
            !lane.has_taken(second),
            "what was not taken before the end never is"
        );
        assert_eq!(put(&lane, b"e"), Err(AppendError::Down));
    }

    #[tokio::test]
    async fn one_can_wait_until_a_frame_was_taken() {
        let lane = Lane::new(1000, 100);
        let first = put(&lane, b"ab").expect("room");
        let mut taken = Box::pin(lane.taken(first));
        assert!(
            futures_util::poll!(&mut taken).is_pending(),
            "it is still here"
        );
        lane.take(&mut Vec::new());
        assert!(futures_util::poll!(&mut taken).is_ready());
        let second = put(&lane, b"cd").expect("room");
        let mut never = Box::pin(lane.taken(second));
        assert!(futures_util::poll!(&mut never).is_pending());
        lane.shut();
        assert!(
            futures_util::poll!(&mut never).is_ready(),
            "it never will be"
        );
    }

    #[test]
    fn a_failed_encoding_leaves_nothing_behind() {
        let lane = Lane::new(1000, 4);
        put(&lane, b"ab").expect("room");
        let failed = lane.append(|bytes| {
            bytes.extend_from_slice(b"half");
            Err("broken")
        });
        assert_eq!(failed, Err(AppendError::Encode("broken")));
        assert_eq!(
            put(&lane, b"12345"),
            Err(AppendError::TooLarge { len: 5, max: 4 })
        );
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = lane.append(|bytes| -> Result<(), Infallible> {
                bytes.extend_from_slice(b"half");
                panic!("a user's type");
            });
        }));
        assert!(panicked.is_err());
        let mut batch = Vec::new();
        assert_eq!(lane.take(&mut batch), 1);
        assert_eq!(batch, b"\x02\0\0\0ab");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_lane_refuses_and_its_waiters_wake_when_it_is_taken_or_shut() {
        for shut in [false, true] {
            let lane = Lane::new(6, 100);
            lane.writable().await;
            put(&lane, b"ab").expect("room");
            assert_eq!(put(&lane, b"c"), Err(AppendError::Full));
            let waiting = Arc::clone(&lane);
            let waiter = tokio::spawn(async move { waiting.writable().await });
            tokio::task::yield_now().await;
            assert!(!waiter.is_finished());
            if shut {
                lane.shut();
            } else {
                lane.take(&mut Vec::new());
            }
            waiter.await.expect("woken");
        }
    }

    #[test]
    fn a_single_frame_and_a_full_packet_do_not_wait_for_more() {
        assert!(!may_get_more(1, 100));
        assert!(may_get_more(2, 200));
        assert!(!may_get_more(40, PACKET_BYTES));
    }

    #[tokio::test(start_paused = true)]
    async fn a_finished_lane_is_written_to_its_end() {
        let lane = Lane::new(1000, 100);
        put(&lane, b"ab").expect("room");
        lane.finish();
        assert_eq!(put(&lane, b"c"), Err(AppendError::Down));
        assert_eq!(lane.work().await, Work::Frames { count: 1, bytes: 6 });
        lane.take(&mut Vec::new());
        assert_eq!(lane.work().await, Work::Finish);
        lane.shut();
        assert_eq!(lane.work().await, Work::Stop);
    }
}
