//! The kinds of worlds that can be run.
//!
//! | scenario | what is in it | what it proves |
//! | --- | --- | --- |
//! | `calls` | nodes and clients that call each other in every way, under faults | the promises of the call layer |
//! | `cluster` | nodes that form a cluster and hold leases, under faults | the promises of the control plane |
//! | `owners` | the same, with keyed actors that are called, moved and drained | the promises about keyed actors |
//! | `chance` | bare hosts that mix every source of chance into datagrams | a seed replays bit for bit |

mod calls;
mod chance;
mod cluster;
mod owners;

use crate::harness::{Run, Verdict, sometimes};

/// A kind of world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Nodes and clients that call each other in every way.
    Calls,
    /// Nodes that form a cluster and hold leases in it.
    Cluster,
    /// Nodes that form a cluster and own keyed actors in it.
    Owners,
    /// Bare hosts that send each other what chance and time gave them.
    Chance,
}

impl Scenario {
    /// Every kind of world, the default first.
    pub(crate) const ALL: &'static [Scenario] = &[
        Scenario::Calls,
        Scenario::Cluster,
        Scenario::Owners,
        Scenario::Chance,
    ];

    /// The name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Scenario::Calls => "calls",
            Scenario::Cluster => "cluster",
            Scenario::Owners => "owners",
            Scenario::Chance => "chance",
        }
    }

    /// One line for the help text.
    pub(crate) const fn about(self) -> &'static str {
        match self {
            Scenario::Calls => "Nodes and clients that call each other in every way, under faults",
            Scenario::Cluster => "Nodes that form a cluster and hold leases in it, under faults",
            Scenario::Owners => {
                "Nodes of a cluster that own keyed actors, and callers of these, under faults"
            }
            Scenario::Chance => "Bare hosts that send each other what chance and time gave them",
        }
    }

    /// The rare states that a batch of this world has to reach.
    pub(crate) const fn rare_states(self) -> &'static [&'static str] {
        match self {
            Scenario::Calls => sometimes::CALLS,
            Scenario::Cluster => sometimes::CLUSTER,
            Scenario::Owners => sometimes::OWNERS,
            Scenario::Chance => &[],
        }
    }

    /// Runs the world of a seed.
    pub(crate) fn run(self, run: Run) -> Verdict {
        match self {
            Scenario::Calls => calls::run(run),
            Scenario::Cluster => cluster::run(run),
            Scenario::Owners => owners::run(run),
            Scenario::Chance => chance::run(run),
        }
    }
}
