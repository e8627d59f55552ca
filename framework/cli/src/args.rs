//! The command line.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::{actor::Actor, choose::Chosen, drain::Leaver, failure::EXIT_CODES};

/// Looks into a running Callboard cluster and runs it.
#[derive(Debug, Parser)]
#[command(name = "callboard", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows the cluster as one of its nodes knows it: who leads, the members, the types with slots
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Common),
    /// Asks each node how it is: its part in the control group, its lease, its slots
    #[command(after_help = NODES_EXAMPLES)]
    Nodes(Common),
    /// Says where a keyed actor is placed, and why
    #[command(after_help = WHY_EXAMPLES)]
    Why {
        #[command(flatten)]
        actor: Actor,
        #[command(flatten)]
        common: Common,
    },
    /// Looks at keyed actors in memory
    #[command(after_help = ACTORS_EXAMPLES)]
    Actors {
        #[command(subcommand)]
        command: Actors,
    },
    /// Has a node give away its seat and its slots, so that it can be stopped without a failed call
    #[command(after_help = DRAIN_EXAMPLES)]
    Drain {
        #[command(flatten)]
        node: Leaver,
        #[command(flatten)]
        common: Common,
    },
    /// Shows who votes in the control group, and chooses who does
    #[command(
        after_help = VOTERS_EXAMPLES,
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true
    )]
    Voters {
        #[command(subcommand)]
        command: Option<Voters>,
        #[command(flatten)]
        common: Common,
    },
    /// Goes on with what one voter has left, when most of the voters are lost for good; works on a folder
    #[command(after_help = RECOVER_EXAMPLES)]
    Recover(Recover),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Actors {
    /// Shows what its owner has of an actor: whether it is in memory, and what waits for it
    #[command(after_help = ACTORS_EXAMPLES)]
    Get {
        #[command(flatten)]
        actor: Actor,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Voters {
    /// Has a node vote: it gets the seat of one that was not chosen
    #[command(after_help = CHOICE_EXAMPLES)]
    Add {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        common: Common,
    },
    /// Has a node give its seat to another one, and get none any more
    #[command(after_help = CHOICE_EXAMPLES)]
    Remove {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        common: Common,
    },
    /// Takes back what was chosen for a node: the cluster decides again whether it votes
    #[command(after_help = CHOICE_EXAMPLES)]
    Auto {
        #[command(flatten)]
        chosen: Chosen,
        #[command(flatten)]
        common: Common,
    },
}

/// The folder of a voter, whose node does not run.
#[derive(Debug, ClapArgs)]
pub(crate) struct Recover {
    /// The data folder of a voter that survived; its node must not run
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Do it. Without this the command says what it has found, and changes nothing
    #[arg(long)]
    pub(crate) i_accept_data_loss: bool,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// What all commands that call into a cluster have in common.
#[derive(Debug, ClapArgs)]
pub(crate) struct Common {
    /// A node of the cluster; it tells of all others. May be repeated
    #[arg(long, value_name = "ADDR", required = true, value_parser = address)]
    pub(crate) join: Vec<SocketAddr>,
    /// The authority's certificate, as PEM; without it the development authority is used
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    pub(crate) ca: Option<PathBuf>,
    /// A client's certificate, for spiffe://CLUSTER/client/NAME, with the role admin
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's private key; only its owner may be able to read it
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub(crate) key: Option<PathBuf>,
    /// How long to wait for the cluster, and for each answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
}

/// How what is found is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// Columns of text, for people
    Table,
    /// One JSON object, for programs
    Json,
}

/// Reads the address of a node.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port from 0 to 65535, such as 127.0.0.1:4001 or [::1]:4001; names \
         are not looked up"
            .to_owned()
    })
}

/// Reads a time of more than nothing, in seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.parse().ok();
    let time = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
    time.filter(|it| (SHORTEST..=LONGEST).contains(it))
        .ok_or_else(|| "write seconds from 0.001 to 86400, such as 2.5".to_owned())
}

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(86_400);

const STATUS_EXAMPLES: &str = "\
Examples:
  callboard status --join 127.0.0.1:4001
  callboard status --join 127.0.0.1:4001 -o json
  callboard status --join 10.0.0.1:7400 --ca ca.pem --cert admin.pem --key admin-key.pem";

const NODES_EXAMPLES: &str = "\
Examples:
  callboard nodes --join 127.0.0.1:4001
  callboard nodes --join 127.0.0.1:4001 --timeout 1 -o json";

const WHY_EXAMPLES: &str = "\
Examples:
  callboard why Cart/alice --join 127.0.0.1:4001
  callboard why Cart --key-hex 05616c696365 --join 127.0.0.1:4001 -o json";

const ACTORS_EXAMPLES: &str = "\
Examples:
  callboard actors get Cart/alice --join 127.0.0.1:4001
  callboard actors get Order/42 --join 127.0.0.1:4001 -o json";

const DRAIN_EXAMPLES: &str = "\
Examples:
  callboard drain n2 --join 127.0.0.1:4001
  callboard drain n2 --within 300 --join 127.0.0.1:4001 -o json

Ctrl-C stops watching, not the drain.";

const VOTERS_EXAMPLES: &str = "\
Examples:
  callboard voters --join 127.0.0.1:4001
  callboard voters --join 127.0.0.1:4001 -o json
  callboard voters add n4 --join 127.0.0.1:4001
  callboard voters remove n2 --join 127.0.0.1:4001

Without a choice the cluster decides: 1 node votes of 1 or 2, 3 of 3 to 6, 5 of 7 and more.";

const CHOICE_EXAMPLES: &str = "\
Examples:
  callboard voters add n4 --join 127.0.0.1:4001
  callboard voters remove n2 --join 127.0.0.1:4001 --within 300 -o json
  callboard voters auto n2 --join 127.0.0.1:4001

A choice stays until another one is made for the node, or it leaves for good. Ctrl-C stops watching; the
choice stays.";

const RECOVER_EXAMPLES: &str = "\
Examples:
  callboard recover --data /var/lib/shop/n1
  callboard recover --data /var/lib/shop/n1 --i-accept-data-loss

Run the first on the folder of each voter that survived, and the second on the one whose last entry is
the greatest, by term and then by index. Read what it may lose: reference/cli.md in the book.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn times_and_addresses_that_make_no_sense_are_refused_with_ones_that_do() {
        for wrong in ["", "0", "-1", "nan", "inf", "1e9", "2s"] {
            let said = seconds(wrong).expect_err(wrong);
            assert!(said.contains("such as 2.5"), "{said}");
        }
        assert_eq!(seconds("2.5"), Ok(Duration::from_millis(2500)));
        for wrong in ["localhost:4001", "127.0.0.1", "127.0.0.1:99999"] {
            let said = address(wrong).expect_err(wrong);
            assert!(said.contains("such as 127.0.0.1:4001"), "{said}");
        }
    }
}
