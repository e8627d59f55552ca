//! What a run of the `cluster` example says: one [`Event`] at a time, as an aligned line of text
//! or as one JSON object a line.
//!
//! Nothing is printed from anywhere else, so text and JSON always tell the same story. It reads no
//! clock: the time of an event is handed in.
//!
//! | file | holds |
//! | --- | --- |
//! | `report.rs` | the events and where they go |
//! | `summary.rs` | the last event, and its numbers by name for `--assert` |
//! | `text.rs` | the lines that a person reads |

mod summary;
mod text;

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde::ser::SerializeMap;

pub use summary::{Asserted, Summary};

/// Something that happened in a run.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins; nothing has been started yet.
    Started {
        /// How many nodes.
        nodes: usize,
        /// Calls a second.
        rate: u64,
        /// How long calls are made.
        for_ms: u64,
        /// The faults to come.
        script: String,
        /// Where the throw-away authority and the certificates are.
        directory: String,
    },
    /// A node process says that it is ready.
    Up {
        /// Its name.
        node: String,
        /// Where it listens.
        addr: String,
        /// Its process.
        pid: u32,
        /// From starting the process to its word.
        took_ms: u64,
    },
    /// All running nodes have the same list of members, and it is the list of the running nodes.
    Agreed {
        /// The members.
        nodes: Vec<String>,
        /// Since the last change of what runs.
        took_ms: u64,
    },
    /// Every node is a member of the cluster, and a first cart has answered.
    Formed {
        /// Since the nodes agreed on who is there.
        took_ms: u64,
        /// The node that leads the control group, as far as the nodes have said.
        leader: Option<String>,
        /// The node that answered for the cart that is called most.
        owner: String,
    },
    /// The load generator's client has its first link.
    Connected {
        /// From the start of connecting.
        took_ms: u64,
    },
    /// A room actor was spawned; its ref goes round with the calls from now on.
    RoomOpened {
        /// The node on which it lives.
        node: String,
        /// 1 for the first one.
        number: u64,
    },
    /// The watch on the room fired: it is gone, and its state with it.
    RoomLost {
        /// The node on which it lived.
        node: String,
        /// What the watch said.
        reason: String,
    },
    /// What the load generator saw in the last second.
    Calls(Second),
    /// A step of the script is carried out.
    Step {
        /// `kill`, `restart`, `pause`, `resume`, `drain`, `add`, `partition` or `heal`.
        action: String,
        /// To which node.
        node: String,
    },
    /// A step of the script could not be carried out, or the run ended before it.
    StepFailed {
        /// The step as it would be typed.
        step: String,
        /// Why not.
        reason: String,
    },
    /// A node process is gone.
    Exited {
        /// Its name.
        node: String,
        /// Its exit code or signal.
        how: String,
        /// Whether the script or the end of the run asked for it.
        expected: bool,
    },
    /// A node that was down or paused has answered a call again.
    Answers {
        /// Its name.
        node: String,
        /// From being started again (or resumed) to its first answer.
        took_ms: u64,
    },
    /// All carts of a killed node have answered again, from other nodes or from it.
    Recovered {
        /// How many carts.
        keys: usize,
        /// From the kill to the last of them.
        took_ms: u64,
    },
    /// A cart did not answer at the end.
    Unanswered {
        /// Which one, and why.
        what: String,
    },
    /// The traces of the nodes' turns show what must not be.
    Finding {
        /// The turns.
        what: String,
    },
    /// A node process wrote a line to its standard error.
    Said {
        /// Its name.
        node: String,
        /// What it wrote.
        line: String,
    },
    /// No more calls are made; those in flight are waited for.
    Draining {
        /// How many are in flight.
        in_flight: u64,
    },
    /// A signal ended the run early.
    Interrupted {
        /// Which one.
        signal: String,
    },
    /// The end: what it all came to. Always the last event.
    Summary(Box<Summary>),
}

/// One second of traffic.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Second {
    /// Calls answered in the second.
    pub ok: u64,
    /// Calls that ended with an error in the second.
    pub failed: u64,
    /// Calls that a bound refused in the second.
    pub refused: u64,
    /// Attempts that the client made again in the second.
    pub retried: u64,
    /// Calls that had not ended at the end of the second.
    pub in_flight: u64,
    /// Median latency of the answered calls, in microseconds.
    pub p50_us: u64,
    /// 99th percentile of the latency of the answered calls, in microseconds.
    pub p99_us: u64,
    /// Calls to the room actor that were answered.
    pub actor_ok: u64,
    /// Calls to the room actor that ended with an error or a refusal.
    pub actor_failed: u64,
    /// Calls to the carts that were answered.
    pub keyed_ok: u64,
    /// Calls to the carts that ended with an error or a refusal.
    pub keyed_failed: u64,
    /// Calls that each node answered; none for a node that is not running.
    pub answered: Named<Option<u64>>,
}

/// Values by name, in the order given; a JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned lines for a person, plain when piped too.
    Text,
    /// One JSON object a line.
    Json,
}

/// Writes events to one place.
pub struct Reporter {
    format: Format,
    out: Box<dyn Write + Send>,
}

impl Reporter {
    /// Writes to `out` in `format`.
    pub fn new(format: Format, out: impl Write + Send + 'static) -> Self {
        Self {
            format,
            out: Box::new(out),
        }
    }

    /// Writes one event and flushes, so that a reader at the other end of a pipe sees it at once.
    /// `at` counts from the first call; none before it.
    ///
    /// # Errors
    ///
    /// What the output says, such as a closed pipe.
    pub fn say(&mut self, at: Option<Duration>, event: &Event) -> io::Result<()> {
        match self.format {
            Format::Text => self.out.write_all(text::lines(at, event).as_bytes())?,
            Format::Json => {
                let line = Line {
                    event,
                    t_ms: at.map(|at| at.as_millis() as u64),
                };
                serde_json::to_writer(&mut self.out, &line)?;
                self.out.write_all(b"\n")?;
            }
        }
        self.out.flush()
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// An event with its time, as it is in JSON.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    t_ms: Option<u64>,
}

#[cfg(test)]
mod tests;
