//! What one measurement is: who is measured, doing what, for how long, and what came of it.
//!
//! These values travel between the driver and the processes it starts, as JSON. Nothing here does
//! anything.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Who is measured.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// Callboard: a spawned actor, by its ref.
    Ours,
    /// Callboard: a service.
    OursService,
    /// Callboard: a spawned actor; both processes on one thread.
    OursOneThread,
    /// quinn by hand: one batched stream, no tasks, no mailboxes, no types.
    Raw,
    /// The same, called from tasks that each wait for their reply.
    RawCallers,
    /// The same with a decode, a mailbox hop and an encode on the way.
    Assembled,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Calls that answer with the body they got.
    Echo {
        /// Bytes of the body.
        bytes: usize,
        /// Calls in flight.
        in_flight: usize,
    },
    /// Calls that answer with the length of the body they got.
    Put {
        /// Bytes of the body.
        bytes: usize,
        /// Calls in flight.
        in_flight: usize,
    },
}

/// One measurement, as the process that makes the load is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) contender: Contender,
    pub(crate) work: Work,
    /// What the server said when it was ready; see [`Ready`].
    pub(crate) server: Ready,
    /// Where the certificates are.
    pub(crate) credentials: std::path::PathBuf,
    /// Runs without being measured first.
    pub(crate) warm: Duration,
    /// Is measured.
    pub(crate) window: Duration,
}

/// A server that takes calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) addr: std::net::SocketAddr,
    pub(crate) pid: u32,
}

/// What a measurement found: figures by name. The unit is the last part of the name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, f64>);

impl Figures {
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

impl Work {
    /// Calls in flight.
    pub(crate) fn in_flight(&self) -> usize {
        match *self {
            Self::Echo { in_flight, .. } | Self::Put { in_flight, .. } => in_flight,
        }
    }

    /// Bytes of one body.
    pub(crate) fn bytes(&self) -> usize {
        match *self {
            Self::Echo { bytes, .. } | Self::Put { bytes, .. } => bytes,
        }
    }

    /// Whether each call is timed. Reading the clock twice a call would slow the fastest down most,
    /// so only cases that ask for latencies are.
    pub(crate) fn timed(&self) -> bool {
        self.in_flight() == 1
    }
}
