//! What the driver tells a node process when it starts it, and what that says on its standard output, a
//! JSON value a line.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::options::Times;

/// How a node is started.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    pub(crate) seeds: Vec<SocketAddr>,
    /// The certificates, the data and the traces of all nodes.
    pub(crate) folder: PathBuf,
    /// Which start of this node it is, from 1.
    pub(crate) life: u32,
    pub(crate) profile: Times,
    /// How many slots there are, if it forms the cluster.
    pub(crate) slots: u32,
    /// What those host that host keys.
    pub(crate) keys: Keys,
    pub(crate) part: Part,
}

/// Which type of keys is hosted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Keys {
    /// Those whose slots go only when their node does.
    Held,
    /// Those whose state goes along.
    Carried,
}

/// What a node does in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Part {
    /// Is one of those that form the cluster, so many, and hosts keys.
    Founds(u32),
    /// Is one of those that form the cluster, so many, and hosts nothing.
    FoundsOnly(u32),
    /// Joins with a disk, so that it may vote, and hosts keys.
    Joins,
    /// Joins without a disk, so that it never votes, and hosts keys.
    Owns,
}

/// A line from a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// It listens here.
    Ready(SocketAddr),
    /// How it stands, whenever that changes.
    Stands(Standing),
    /// It was told to drain, and has; or why it could not.
    Drained(Option<String>),
}

/// How a node stands, as far as it knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// It holds a lease.
    pub(crate) member: bool,
    /// It leads the control group.
    pub(crate) leads: bool,
    /// It votes in it.
    pub(crate) votes: bool,
    /// The epochs of all slots together: it grows by one with each slot that has another owner.
    pub(crate) epochs: u64,
}

impl Spec {
    /// Where the node keeps what outlives it.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.join(format!("{}.data", self.name))
    }

    /// Where it writes its turns.
    pub(crate) fn trace(&self) -> PathBuf {
        let file = format!("{}.{}.{TRACE}", self.name, self.life);
        self.folder.join(file)
    }
}

impl Part {
    /// How many nodes form the cluster, if it is one of them.
    pub(crate) const fn founders(self) -> Option<u32> {
        match self {
            Self::Founds(founders) | Self::FoundsOnly(founders) => Some(founders),
            Self::Joins | Self::Owns => None,
        }
    }

    pub(crate) const fn has_disk(self) -> bool {
        !matches!(self, Self::Owns)
    }

    pub(crate) const fn hosts(self) -> bool {
        !matches!(self, Self::FoundsOnly(_))
    }
}

/// What a node is told on its standard input: to give away what it has, and then to end.
pub(crate) const DRAIN: &str = "drain";

/// How the names of traces end.
pub(crate) const TRACE: &str = "turns";
