//! How much may be on its way to a peer at once.
//!
//! Cubic decides, as it is known, below a bound: what a connection can move in one round trip. On a
//! short path Cubic alone grows until a buffer overflows, which is after milliseconds of bytes that
//! wait in the two machines; a small call behind a large body would wait as long. Only the path's
//! round trip and quinn's own controller are known here.
//!
//! Beside small calls a large body has less on its way, as each of them waits behind it, and what the
//! lanes have to say goes beyond the bound: it would wait for an acknowledgement otherwise, each time.
//! Cubic's own window is never exceeded. What is beside what is told by `traffic`.
//!
//! A connection that is closed has nothing left to send but the reason, which no controller may hold
//! up (RFC 9002, section 7, bounds what is ack-eliciting, and a close is not). quinn-proto up to
//! 0.11.19 asks the controller all the same while data waits that will not be sent any more, so the
//! window is [opened](open) for a close, AFTER it: before, the data would leave too.

use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory, Cubic, CubicConfig};
use quinn_proto::RttEstimator;

use super::traffic::{Share, Traffic};

/// Makes the controller of each path.
#[derive(Debug, Default)]
pub(super) struct Bounded {
    cubic: Arc<CubicConfig>,
}

impl ControllerFactory for Bounded {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        Box::new(Path {
            cubic: Box::new(Cubic::new(Arc::clone(&self.cubic), now, mtu)),
            rtt: None,
            share: Share::new(Arc::default()),
        })
    }
}

/// Lets a connection that was closed say so, however much is on its way.
pub(super) fn open(connection: &quinn::Connection) {
    traffic(connection.congestion_state()).close();
}

/// Returns what the path that a controller is of carries.
pub(super) fn traffic(controller: Box<dyn Controller>) -> Arc<Traffic> {
    // A controller is only seen as a copy, which shares this with the one in use.
    let path = controller.into_any().downcast::<Path>();
    path.map(|path| path.share.traffic).unwrap_or_default()
}

/// The controller of one path.
struct Path {
    cubic: Box<dyn Controller>,
    /// The smallest that was measured.
    rtt: Option<Duration>,
    share: Share,
}

impl Path {
    fn most(&self) -> u64 {
        self.rtt
            .map_or(u64::MAX, |rtt| window_max(rtt, self.share.beside()))
    }
}

impl Controller for Path {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.share.handle_sent(bytes);
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
        self.rtt = Some(rtt.min());
        // A window above the bound would be far from the truth when a loss halves it.
        let is_bounded = self.cubic.window() >= self.most();
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
        self.share.handle_acks(now);
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
        if self.share.traffic.is_closing() {
            return OPEN_BYTES;
        }
        self.cubic.window().min(self.most())
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            rtt: self.rtt,
            share: self.share.clone(),
        })
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Returns what may be on its way on a path of this round trip, in bytes. `beside` is what waits in
/// the lanes where streams and messages are beside each other.
fn window_max(rtt: Duration, beside: Option<u64>) -> u64 {
    let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
    let alone = nanos.saturating_mul(BYTES_PER_NANO);
    match beside {
        None => alone.saturating_add(SHORTEST_BYTES),
        Some(waiting) => {
            let lanes = match waiting {
                0 => 0,
                _ => waiting.saturating_add(PACKETS_BYTES).min(LANES_BYTES_MAX),
            };
            (alone / 2).saturating_add(BESIDE_BYTES + lanes)
        }
    }
}

/// More than is ever on its way, and so much that quinn does not pace it either.
pub(super) const OPEN_BYTES: u64 = 1 << 40;

/// More than the gigabyte a second that one core encrypts.
const BYTES_PER_NANO: u64 = 1;

/// For the shortest path: two acknowledgements of ten of the largest datagrams each.
const SHORTEST_BYTES: u64 = 128 << 10;

/// The same beside small calls: one acknowledgement, and half as much that is sent meanwhile.
const BESIDE_BYTES: u64 = 96 << 10;

/// What the lanes may have on its way beyond that.
const LANES_BYTES_MAX: u64 = 64 << 10;

/// QUIC looks for room for whole packets, of the one that it fills and of the next.
const PACKETS_BYTES: u64 = 2 * 6400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_path_is_bounded_by_what_a_connection_moves_and_a_long_one_by_nothing_new() {
        let alone = |micros| window_max(Duration::from_micros(micros), None);
        assert_eq!(alone(50), 50_000 + (128 << 10));
        assert_eq!(alone(1000), 1_000_000 + (128 << 10));
        assert!(alone(10_000) > 8 << 20, "as far as flow control");
        assert_eq!(window_max(Duration::MAX, None), u64::MAX);
    }

    #[test]
    fn beside_messages_there_is_less_of_a_body_and_the_lanes_go_beyond_it() {
        let rtt = Duration::from_micros(50);
        let beside = |waiting| window_max(rtt, Some(waiting));
        assert_eq!(beside(0), 25_000 + (96 << 10));
        assert!(beside(0) < window_max(rtt, None));
        assert_eq!(beside(1000), beside(0) + 1000 + 12_800);
        assert_eq!(beside(u64::MAX), beside(0) + (64 << 10));
        let long = window_max(Duration::MAX, Some(u64::MAX));
        assert!(long >= u64::MAX / 2, "{long}");
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
