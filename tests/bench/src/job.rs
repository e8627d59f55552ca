//! What one measurement is: who is measured, doing what, for how long, and what came of it.
//!
//! These values travel between the driver and the processes it starts, as JSON. Nothing here does
//! anything.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Who is measured.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// Callboard: a spawned actor, by its ref; between processes, each on one thread, as gRPC is
    /// and for the same reason: there it is fastest.
    Ours,
    /// Callboard: a service.
    OursService,
    /// Callboard: a keyed actor, owned by a node that holds a lease.
    OursKeyed,
    /// Callboard: a spawned actor; each process on as many threads as there are cores, which is
    /// what `#[tokio::main]` makes.
    OursThreads,
    /// Callboard with four lanes.
    OursLanes4,
    /// Callboard with eight lanes.
    OursLanes8,
    /// quinn by hand: one batched stream, no mailboxes, no types, and where only calls are measured
    /// no tasks.
    Raw,
    /// The same, called from tasks that each wait for their reply.
    RawCallers,
    /// The same with a decode, a mailbox hop and an encode on the way.
    Assembled,
    /// The frames of `Raw` on one TCP connection with TLS.
    TcpTls,
    /// gRPC by tonic with TLS, a call each.
    TonicUnary,
    /// gRPC by tonic with TLS, calls multiplexed by hand on one bidirectional stream.
    TonicBidi,
    /// tarpc with TLS.
    Tarpc,
    /// ractor; between processes with `ractor_cluster` and TLS.
    Ractor,
    /// kameo; between processes with libp2p and noise.
    Kameo,
    /// Channels of tokio, by hand.
    Channels,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// Calls that answer with the body they got.
    Echo { bytes: usize, in_flight: usize },
    /// Calls that answer with the length of the body they got.
    Put { bytes: usize, in_flight: usize },
    /// Messages without an answer from one task to one target.
    Send { bytes: usize },
    /// The same to a target that is slower than the sender.
    SendSlow { bytes: usize },
    /// Small calls, first alone, then beside large ones over the same connection.
    Beside {
        bytes: usize,
        in_flight: usize,
        /// Who the large ones are for.
        large_for: Target,
    },
    /// From nothing to the first reply, again and again.
    Connect,
    /// A producer at full speed and so many slow consumers.
    SlowConsumers { consumers: usize },
    /// More calls than the server can do, up to ten times as many.
    Overload,
    /// Messages within the process, from so many tasks to as many targets.
    LocalSend { pairs: usize },
    /// Calls within the process.
    LocalCall { in_flight: usize },
    /// Actors are spawned under supervision, called once, and left idle.
    Spawn,
}

/// Who large calls are for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Target {
    /// Who the small ones are for: their order may be promised.
    Same,
    /// Somebody else on the same node.
    Another,
}

/// One measurement, as the process that makes the load is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) contender: Contender,
    pub(crate) work: Work,
    /// Whether each call is timed. Reading the clock twice a call would slow the fastest down most,
    /// so only cases that ask for latencies are.
    pub(crate) timed: bool,
    /// What the server said when it was ready; nothing for work within one process.
    pub(crate) server: Option<Ready>,
    /// Where the certificates are.
    pub(crate) credentials: PathBuf,
    /// Runs without being measured first.
    pub(crate) warm: Duration,
    /// Is measured.
    pub(crate) window: Duration,
}

/// A server that takes calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    pub(crate) addr: SocketAddr,
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

impl Ready {
    /// This process, listening there.
    pub(crate) fn here(addr: SocketAddr) -> Self {
        Self {
            addr,
            pid: std::process::id(),
        }
    }
}

impl Job {
    /// The server.
    ///
    /// # Errors
    /// `NotConnected` for work within one process.
    pub(crate) fn server(&self) -> io::Result<&Ready> {
        self.server
            .as_ref()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Work {
    /// Calls in flight, senders at once.
    pub(crate) fn in_flight(self) -> usize {
        match self {
            Self::Echo { in_flight, .. }
            | Self::Put { in_flight, .. }
            | Self::Beside { in_flight, .. }
            | Self::LocalCall { in_flight } => in_flight,
            Self::LocalSend { pairs } => pairs,
            Self::SlowConsumers { consumers } => consumers,
            Self::Send { .. }
            | Self::SendSlow { .. }
            | Self::Connect
            | Self::Overload
            | Self::Spawn => 1,
        }
    }

    /// Bytes of one body.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::Echo { bytes, .. }
            | Self::Put { bytes, .. }
            | Self::Send { bytes }
            | Self::SendSlow { bytes }
            | Self::Beside { bytes, .. } => bytes,
            Self::Overload | Self::LocalSend { .. } | Self::LocalCall { .. } | Self::Spawn => 0,
            Self::Connect | Self::SlowConsumers { .. } => SMALL_BYTES,
        }
    }

    /// Whether it is nothing but calls.
    pub(crate) fn is_calls(self) -> bool {
        matches!(self, Self::Echo { .. } | Self::Put { .. })
    }

    /// Whether it needs a server of its own process.
    pub(crate) fn is_remote(self) -> bool {
        !matches!(
            self,
            Self::LocalSend { .. } | Self::LocalCall { .. } | Self::Spawn
        )
    }
}

/// The body of a small call.
pub(crate) const SMALL_BYTES: usize = 128;
