//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::job::Contender;
use crate::owners;

/// Measures Callboard beside its rivals, interleaved in one run.
///
/// Only ratios within one run mean something. Progress goes to standard error, the result to
/// standard output. `all` takes about a quarter of an hour, `all --quick` about two minutes.
#[derive(Debug, Parser)]
#[command(name = "callboard-bench", args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    /// Which cases [default: all]
    #[arg(value_name = "GROUP")]
    pub(crate) groups: Vec<Group>,
    /// Only the case of this name, see --list; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) case: Vec<String>,
    /// Only this contender; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<Contender>,
    /// How often each is measured [default: 5; 3 with --quick, 1 with --smoke]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// How long each measurement lasts [default: 1000; 300 with --quick, 50 with --smoke]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(10..=600_000))]
    pub(crate) window: Option<u64>,
    /// The cases that matter most, for a look of two minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Every case once and tiny: shows that everything runs, says nothing about time
    #[arg(long, conflicts_with = "quick")]
    pub(crate) smoke: bool,
    /// One JSON object a line: one for each contender of each case, then a summary
    #[arg(long)]
    pub(crate) json: bool,
    /// Names the cases and ends
    #[arg(long)]
    pub(crate) list: bool,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// What else it does, and what the processes that the driver starts do.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Answers until standard input ends
    #[command(hide = true)]
    Serve {
        /// Who answers
        contender: Contender,
        /// Where the certificates are
        credentials: PathBuf,
        /// Where to listen
        ip: IpAddr,
    },
    Owners(owners::Options),
    /// Runs a node of the cluster that `owners` measures
    #[command(hide = true)]
    Owner {
        /// Which one, as JSON
        spec: String,
    },
    /// Measures within one process for `owners`
    #[command(hide = true)]
    Alone {
        /// What, as JSON
        job: String,
    },
    /// Makes load
    #[command(hide = true)]
    Load {
        /// What to do, as JSON
        job: String,
    },
}

/// Cases that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Group {
    /// Every case
    All,
    /// Small calls and sends between two processes
    Remote,
    /// Large bodies between two processes
    Bulk,
    /// Small calls over a link that loses packets; needs root
    Loss,
    /// From nothing to the first reply
    Connect,
    /// Many slow consumers
    SlowConsumers,
    /// More calls than a node can do
    Overload,
    /// Within one process
    Local,
}
