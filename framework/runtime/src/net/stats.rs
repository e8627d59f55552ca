//! Counters of one link, and of the refusals of one node, for telemetry to read.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use callboard_protocol::code::Code;

/// What a link has carried since it came up.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    frames_sent: AtomicU64,
    bytes_sent: AtomicU64,
    frames_received: AtomicU64,
    bytes_received: AtomicU64,
}

/// The counters of a link at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LinkStats {
    /// Frames that were handed to QUIC.
    pub(crate) frames_sent: u64,
    /// Their bytes, lengths included.
    pub(crate) bytes_sent: u64,
    /// Frames that arrived whole.
    pub(crate) frames_received: u64,
    /// Their bytes, lengths included.
    pub(crate) bytes_received: u64,
    /// The round trip, as measured by QUIC.
    pub(crate) rtt: Duration,
    /// Packets that QUIC found lost and sent anew.
    pub(crate) packets_lost: u64,
}

impl Stats {
    pub(super) fn sent(&self, frames: usize, bytes: usize) {
        self.frames_sent.fetch_add(frames as u64, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received(&self, frames: usize, bytes: usize) {
        self.frames_received
            .fetch_add(frames as u64, Ordering::Relaxed);
        self.bytes_received
            .fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self, connection: &quinn::Connection) -> LinkStats {
        let path = connection.stats().path;
        LinkStats {
            frames_sent: self.frames_sent.load(Ordering::Relaxed),
            bytes_sent: self.bytes_sent.load(Ordering::Relaxed),
            frames_received: self.frames_received.load(Ordering::Relaxed),
            bytes_received: self.bytes_received.load(Ordering::Relaxed),
            rtt: path.rtt,
            packets_lost: path.lost_packets,
        }
    }
}

/// How often connections were refused or lost, by code, by either side.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<Code, u64>>);

impl Refusals {
    pub(super) fn count(&self, code: Code) {
        *self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(code)
            .or_default() += 1;
    }

    /// Returns the counts so far, ordered by code.
    pub(super) fn read(&self) -> BTreeMap<Code, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
