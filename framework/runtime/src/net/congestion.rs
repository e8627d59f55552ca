//! How much may be on its way to a peer at once.
//!
//! Cubic decides, as it is known, below a bound: what a connection can move in one round trip. On a
//! short path Cubic alone grows until a buffer overflows, which is after milliseconds of bytes that
//! wait in the two machines; a small call behind a large body would wait as long. Only the path's
//! round trip and quinn's own controller are known here.
//!
//! A connection that is closed has nothing left to send but the reason, which no controller may hold
//! up (RFC 9002, section 7, bounds what is ack-eliciting, and a close is not). quinn-proto up to
//! 0.11.19 asks the controller all the same while data waits that will not be sent any more, so the
//! window is [opened](open) before a close.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, Cubic, CubicConfig};
use quinn_proto::RttEstimator;

/// Makes the controller of each path.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    cubic: Arc<CubicConfig>,
}

impl ControllerFactory for Bounded {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Path {
            cubic: Box::new(Cubic::new(Arc::clone(&self.cubic), now, mtu)),
            most: u64::MAX,
            is_open: Arc::default(),
        })
    }
}

/// Lets a connection that is about to be closed say so, however much is on its way.
pub(super) fn open(connection: &quinn::Connection) {
    // A controller is only seen as a copy, which shares this with the one in use.
    let path = connection.congestion_state().into_any().downcast::<Path>();
    if let Ok(path) = path {
        path.is_open.store(true, Ordering::Release);
    }
}

/// The controller of one path.
struct Path {
    cubic: Box<dyn Controller>,
    most: u64,
    /// Whether it bounds nothing any more.
    is_open: Arc<AtomicBool>,
}

impl Controller for Path {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.most = window_max(rtt.min());
        // A window above the bound would be far from the truth when a loss halves it.
        let is_bounded = self.cubic.window() >= self.most;
        self.cubic
            .on_ack(now, sent, bytes, app_limited || is_bounded, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.cubic
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.is_open.load(Ordering::Acquire) {
            return OPEN_BYTES;
        }
        self.cubic.window().min(self.most)
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            most: self.most,
            is_open: Arc::clone(&self.is_open),
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Returns what may be on its way on a path of this round trip, in bytes.
fn window_max(rtt: Duration) -> u64 {
    let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
    nanos
        .saturating_mul(BYTES_PER_NANO)
        .saturating_add(SHORTEST_BYTES)
}

/// More than is ever on its way, and so much that quinn does not pace it either.
const OPEN_BYTES: u64 = 1 << 40;

/// More than the gigabyte a second that one core encrypts.
const BYTES_PER_NANO: u64 = 1;

/// For the shortest path: two acknowledgements of ten of the largest datagrams each.
const SHORTEST_BYTES: u64 = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_path_is_bounded_by_what_a_connection_moves_and_a_long_one_by_nothing_new() {
        assert_eq!(window_max(Duration::from_micros(50)), 50_000 + (128 << 10));
        assert_eq!(
            window_max(Duration::from_millis(1)),
            1_000_000 + (128 << 10)
        );
        assert!(
            window_max(Duration::from_millis(10)) > 8 << 20,
            "as far as flow control"
        );
        assert_eq!(window_max(Duration::MAX), u64::MAX);
    }

    #[test]
    fn the_window_is_cubics_until_the_round_trip_is_known() {
        let start = Instant::now();
        let path = Arc::new(Bounded::default()).build(start, 1200);
        let cubic = Cubic::new(Arc::default(), start, 1200);
        assert_eq!(path.window(), cubic.window());
        assert_eq!(path.clone_box().window(), cubic.window());
        assert_eq!(path.initial_window(), cubic.initial_window());
    }
}
