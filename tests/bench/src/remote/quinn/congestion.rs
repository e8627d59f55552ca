//! The bound on what is on its way, as Callboard has it in `framework/runtime/src/net/congestion.rs` for
//! what is alone on a connection. Which of its streams has the small messages only who writes them knows.

use std::any::Any;
use std::sync::Arc;
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
        })
    }
}

/// The controller of one path.
struct Path {
    cubic: Box<dyn Controller>,
    most: u64,
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
        self.cubic.window().min(self.most)
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            cubic: self.cubic.clone_box(),
            most: self.most,
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

/// More than the gigabyte a second that one core encrypts.
const BYTES_PER_NANO: u64 = 1;

/// For the shortest path: two acknowledgements of ten of the largest datagrams each.
const SHORTEST_BYTES: u64 = 128 << 10;
