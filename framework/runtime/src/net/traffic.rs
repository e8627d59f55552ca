//! What a connection carries beside each other: the frames of its lanes, and what goes on streams of
//! their own.
//!
//! Writers say what of the lanes they hand to QUIC, and the controller of the path says what has left:
//! the lanes go first, so it is theirs as long as anything of theirs waits. Both hold a [`Traffic`]; how
//! much may be on its way is decided in `congestion`. Nothing of QUIC is known here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What was handed to one connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Whether nothing but the reason of the end is still to be said.
    is_closing: AtomicBool,
    lane_bytes: AtomicU64,
    /// The frames of the lanes, without those that announce a stream.
    messages: AtomicI64,
    /// Whether streams are among what leaves.
    is_loaded: AtomicBool,
}

impl Traffic {
    /// Nothing but the reason of the end is still to be said.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// A lane is about to hand over frames.
    pub(super) fn lane(&self, frames: usize, bytes: usize) {
        let frames = i64::try_from(frames).unwrap_or(i64::MAX);
        self.messages.fetch_add(frames, Ordering::Relaxed);
        self.lane_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A stream is opened, which a frame on a lane announces.
    pub(super) fn opened(&self) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns whether the connection was closed.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Returns whether streams are among what leaves. What a stream has that its reader has no room
    /// for does not leave, and is beside nothing.
    pub(super) fn is_loaded(&self) -> bool {
        self.is_loaded.load(Ordering::Relaxed)
    }
}

/// The controller's side of a [`Traffic`].
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub(super) traffic: Arc<Traffic>,
    lane_bytes_sent: u64,
    /// How often something has left since a stream was among it.
    without_streams: u32,
    messages: i64,
    /// When messages were last seen on the lanes.
    messages_at: Option<Instant>,
    has_messages: bool,
}

impl Share {
    pub(super) fn new(traffic: Arc<Traffic>) -> Self {
        Self {
            traffic,
            lane_bytes_sent: 0,
            without_streams: LANES_ALONE_AFTER,
            messages: 0,
            messages_at: None,
            has_messages: false,
        }
    }

    /// So many bytes have left at once.
    pub(super) fn handle_sent(&mut self, bytes: u64) {
        let lanes = bytes.min(self.lane_bytes_waiting());
        self.lane_bytes_sent += lanes;
        self.without_streams = match bytes - lanes >= STREAM_BYTES_MIN {
            true => 0,
            false => self.without_streams.saturating_add(1),
        };
        let is_loaded = self.without_streams < LANES_ALONE_AFTER;
        if is_loaded != self.traffic.is_loaded() {
            self.traffic.is_loaded.store(is_loaded, Ordering::Relaxed);
        }
    }

    /// Some of what was on its way has arrived.
    pub(super) fn handle_acks(&mut self, now: Instant) {
        let messages = self.traffic.messages.load(Ordering::Relaxed);
        // An announcement is counted before its stream is opened: only more than ever is more.
        if messages > self.messages {
            self.messages = messages;
            self.messages_at = Some(now);
        }
        let since = self.messages_at.map(|at| now.saturating_duration_since(at));
        self.has_messages = since.is_some_and(|since| since < QUIET_AFTER);
    }

    /// Returns, where streams have messages beside them, how many bytes of the lanes have not left
    /// yet.
    pub(super) fn beside(&self) -> Option<u64> {
        let is_shared = self.has_messages && self.traffic.is_loaded();
        is_shared.then(|| self.lane_bytes_waiting())
    }

    fn lane_bytes_waiting(&self) -> u64 {
        let handed = self.traffic.lane_bytes.load(Ordering::Relaxed);
        handed.saturating_sub(self.lane_bytes_sent)
    }
}

/// Headers and acknowledgements of some hundred KiB are fewer. Where more of a lane leaves in one go, it
/// is taken for a stream too, and does not wait for more frames, which it has.
const STREAM_BYTES_MIN: u64 = 4 << 10;

/// After so many times without a stream there is none. A full window lets some messages out alone
/// before the next part of a body.
const LANES_ALONE_AFTER: u32 = 16;

/// Without a message for so long, streams have the connection to themselves.
const QUIET_AFTER: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> Share {
        Share::new(Arc::default())
    }

    /// Lets go out what a lane has, and a part of a body.
    fn send(share: &mut Share, lane: usize, stream: u64) {
        if lane > 0 {
            share.traffic.lane(1, lane);
        }
        share.handle_sent(lane as u64 + stream);
    }

    #[test]
    fn what_leaves_is_the_lanes_first() {
        let (mut share, now) = (share(), Instant::now());
        send(&mut share, 100, 64_000);
        share.handle_acks(now);
        share.traffic.lane(1, 100);
        assert_eq!(share.beside(), Some(100));
        share.handle_sent(40);
        assert_eq!(share.beside(), Some(60));
        share.handle_sent(64_000);
        assert_eq!(share.beside(), Some(0));
    }

    #[test]
    fn announcements_are_no_messages() {
        let (mut share, now) = (share(), Instant::now());
        for _ in 0..3 {
            share.traffic.opened();
            send(&mut share, 100, 64_000);
            share.handle_acks(now);
            assert_eq!(share.beside(), None);
        }
        share.traffic.lane(1, 100);
        assert_eq!(share.beside(), None, "it is not known yet");
        share.handle_acks(now);
        assert_eq!(share.beside(), Some(100));
    }

    #[test]
    fn where_messages_end_the_streams_are_alone_after_a_while() {
        let (mut share, start) = (share(), Instant::now());
        send(&mut share, 100, 64_000);
        share.handle_acks(start);
        share.handle_acks(start + QUIET_AFTER / 2);
        assert_eq!(share.beside(), Some(0));
        share.handle_acks(start + QUIET_AFTER);
        assert_eq!(share.beside(), None);
        share.traffic.lane(1, 100);
        share.handle_acks(start + 2 * QUIET_AFTER);
        assert_eq!(share.beside(), Some(100));
    }

    #[test]
    fn where_streams_end_or_are_held_up_the_lanes_are_alone() {
        let (mut share, now) = (share(), Instant::now());
        assert!(!share.traffic.is_loaded());
        send(&mut share, 100, 64_000);
        share.handle_acks(now);
        for _ in 1..LANES_ALONE_AFTER {
            send(&mut share, 100, 60);
            assert!(share.traffic.is_loaded());
            assert_eq!(share.beside(), Some(0));
        }
        send(&mut share, 100, 60);
        assert!(!share.traffic.is_loaded());
        assert_eq!(share.beside(), None);
        send(&mut share, 100, 6400);
        assert_eq!(share.beside(), Some(0));
    }

    #[test]
    fn the_headers_of_a_burst_of_messages_are_no_stream() {
        let mut share = share();
        share.traffic.lane(1000, 300_000);
        for _ in 0..5 {
            share.handle_sent(60_000 + 400);
        }
        assert!(!share.traffic.is_loaded());
    }
}
