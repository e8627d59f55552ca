//! The command line: what can be asked for, and all the checks that need no cluster.
//!
//! A [`Plan`] is a command line that has passed them; nothing is started before.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use callboard::Profile;
use callboard::env::Bug;
use callboard_examples::expression::Expression;
use callboard_examples::report::{Format, Summary};
use callboard_examples::script::Script;
use callboard_examples::span;
use clap::{Parser, Subcommand};

use crate::planted;

/// The run failed: see `--help`.
pub(crate) const EXIT_RUN: u8 = 1;
/// The command line is wrong; nothing was started.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Starts a Callboard cluster on this machine, loads it, breaks it, and says what happened.
///
/// N node processes on free loopback ports form a cluster and host a Greeter; one of them holds a Room,
/// a spawned actor whose ref travels in messages; and many Carts, keyed actors, live where the cluster
/// puts them. A client calls the Greeter and the Carts at a steady rate while the script kills, pauses,
/// cuts off and restarts nodes. Every link is QUIC with mutual TLS, from an authority made for this run
/// alone. Ctrl-C ends it at any time; no process and no file stays behind.
#[derive(Debug, Parser)]
#[command(name = "cluster", after_long_help = after_help(), args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) driver: DriverArgs,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct DriverArgs {
    /// How many node processes to start, named n1 to nN
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=32))]
    nodes: u16,
    /// How long to make calls, such as 20s, 500ms or 1.5m
    #[arg(long = "for", value_name = "TIME", default_value = "20s", value_parser = run_span)]
    run: Duration,
    /// Calls to the Greeter a second, whether or not earlier ones were answered; a quarter of it
    /// goes to the carts as well, and a twentieth to the Room
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=200_000))]
    rate: u64,
    /// Calls that may wait for an answer at the same time; over it due calls are left out and counted
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    in_flight: u64,
    /// What goes wrong and when; by default the last node is killed after a quarter of the time and
    /// started again at half of it; "" for nothing
    #[arg(long, value_name = "STEPS")]
    script: Option<String>,
    /// One JSON object a line instead of text; the last one is {"event":"summary", ...}
    #[arg(long)]
    json: bool,
    /// How many carts there are; alice's is called every tenth time, the others in turn
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    shoppers: u32,
    // By default it has no divisor with the ten of the hot cart, so that all carts have some.
    /// One call in so many asks a cart for the prices of the day, which keeps the cart busy for 5 ms
    #[arg(long, value_name = "N", default_value_t = 17, value_parser = clap::value_parser!(u32).range(1..))]
    reprice_every: u32,
    /// The times that leases and elections go by
    #[arg(long, value_enum, default_value_t = Times::Lan)]
    profile: Times,
    /// Plants a bug in the framework: the run has to fail
    #[arg(long, hide = true, value_parser = planted::named)]
    plant: Option<Bug>,
    /// A condition over the summary's fields that has to hold at the end
    #[arg(long, value_name = "CONDITION")]
    assert: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Runs as one node of a cluster; only a driver starts this.
    #[command(hide = true)]
    Node(NodeArgs),
}

/// What the driver tells a node process.
#[derive(Debug, clap::Args)]
pub(crate) struct NodeArgs {
    #[arg(long)]
    pub(crate) name: String,
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    #[arg(long)]
    pub(crate) seed: Vec<SocketAddr>,
    /// The run's directory: certificates, removed by the node if the driver is gone.
    #[arg(long)]
    pub(crate) directory: PathBuf,
    /// Which start of this node it is: each has a trace of its own.
    #[arg(long)]
    pub(crate) life: u32,
    /// How many nodes form the cluster, for those that do.
    #[arg(long)]
    pub(crate) founders: Option<u32>,
    #[arg(long, value_enum)]
    pub(crate) profile: Times,
    #[arg(long, value_parser = planted::named)]
    pub(crate) plant: Option<Bug>,
}

impl NodeArgs {
    /// Where the node keeps what outlives it.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join(format!("{}.data", self.name))
    }

    /// Where it writes the turns of its carts.
    pub(crate) fn trace(&self) -> PathBuf {
        let file = format!("{}.{}.{TRACE}", self.name, self.life);
        self.directory.join(file)
    }
}

/// How the names of traces end.
pub(crate) const TRACE: &str = "turns";

/// A profile, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Times {
    /// Renews every 500 ms, a lease of 3 s: every key of a killed node answers within 3.5 s
    Lan,
    /// Renews every 150 ms, a lease of 1 s: within 1.5 s
    Fast,
}

impl Times {
    pub(crate) const fn times(self) -> Profile {
        match self {
            Self::Lan => Profile::lan(),
            Self::Fast => Profile::fast(),
        }
    }

    /// As it is typed.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Fast => "fast",
        }
    }
}

/// A command line that makes sense.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Those that are started first.
    pub(crate) nodes: Vec<String>,
    /// Those that the script adds.
    pub(crate) added: Vec<String>,
    pub(crate) shoppers: usize,
    /// One call of a cart in so many is a long one.
    pub(crate) reprice_every: usize,
    pub(crate) profile: Times,
    pub(crate) plant: Option<Bug>,
    pub(crate) run: Duration,
    pub(crate) rate: u64,
    pub(crate) in_flight_max: u64,
    pub(crate) script: Script,
    pub(crate) assert: Option<Expression>,
    pub(crate) format: Format,
}

impl DriverArgs {
    /// Checks everything that can be checked before the run.
    ///
    /// # Errors
    ///
    /// A message that says what is wrong and shows what is right.
    pub(crate) fn plan(self) -> Result<Plan, String> {
        let nodes: Vec<String> = (1..=self.nodes)
            .map(|number| format!("n{number}"))
            .collect();
        let script = match &self.script {
            Some(text) => Script::parse(text, &nodes, self.run)?,
            None => Script::shown_by_default(&nodes, self.run),
        };
        let added = script.added(&nodes);
        let all = [&nodes[..], &added].concat();
        let assert = self
            .assert
            .as_deref()
            .map(|text| condition(text, &all))
            .transpose()?;
        Ok(Plan {
            nodes,
            added,
            shoppers: self.shoppers as usize,
            reprice_every: self.reprice_every as usize,
            profile: self.profile,
            plant: self.plant,
            run: self.run,
            rate: self.rate,
            in_flight_max: self.in_flight,
            script,
            assert,
            format: if self.json {
                Format::Json
            } else {
                Format::Text
            },
        })
    }
}

fn condition(text: &str, nodes: &[String]) -> Result<Expression, String> {
    let expression = Expression::parse(text).map_err(|error| format!("--assert: {error}"))?;
    let known = Summary::of_nothing(nodes).field_names();
    for field in expression.fields() {
        if !known.iter().any(|name| name == field) {
            let known = known.join(" ");
            return Err(format!(
                "--assert: there is no field `{field}`; there are:\n{known}"
            ));
        }
    }
    Ok(expression)
}

fn run_span(text: &str) -> Result<Duration, String> {
    match span::parse(text)? {
        run if run < Duration::from_millis(100) => Err("at least 100ms".to_owned()),
        run => Ok(run),
    }
}

fn after_help() -> String {
    format!(
        "\
Script:
{script}

A script that does not parse, names no node of the run or lies after its end is refused before
anything is started. A step that cannot be carried out, such as killing a node that is down, is
reported and fails the run.

Assert:
{assert}
The fields (answered_n1 and so on, one for each node, those that the script adds included):
{fields}

Counting:
Every call that is begun is in exactly one of three counts: calls_issued == calls_ok + calls_failed
+ calls_refused.
  calls_ok       answered
  calls_refused  turned away by a bound before the handler ran: a full mailbox, a full send buffer,
                 too many calls in flight
  calls_failed   every other error; the summary's `errors` counts them by code
The Greeter's method is idempotent, so the client runs a call again when its node is lost: that
counts in calls_retried and not as a failure. The Room lives on one node and dies with it; calls to
it are counted apart, in actor_calls_*. Those to the Carts, which are keyed and idempotent too, are
counted apart in keyed_calls_*: one that waits for a new owner of its slot within its deadline of 8 s has
not failed. Latency runs from when a call was due to its answer.

Traces:
Each node process writes down every turn of a Cart: key, slot, epoch, node, start, end. The driver puts
them together when the run is over; nobody is asked what he believes of himself.
  overlapping_turns    turns that began before another one of the same Cart had ended, on any node
  overlaps_of_paused   those of them that were under way when their process was paused, counted here
                       alone: a process that stands still cannot end a turn
  epoch_regressions    turns that began after one under a newer epoch of the same slot
  moved_slots          a slot in use went to another node from one that ran, or that was drained
  recovered_slots      a slot in use was taken over from a node that was killed, paused or cut off
  outage_ms            from SIGKILL until each Cart of the killed node answered: p50, p99, max; all of
                       them are called at once when it is killed
  keys_unanswered      at the end each Cart that was used is called once more; those that do not answer
                       in the time that the profile promises
  carts_emptied        times that a Cart answered and had forgotten what it held: a move takes it along
  failed_during_drain  calls to the Greeter and the Carts that ended in an error or a refusal from when
                       a node was told to drain until its process had ended

Exit codes:
  0    the run was completed, every step was carried out, the assertion holds
  1    the assertion does not hold, a step was not carried out, the cluster could not be started,
       or a node ended without being told to
  2    the command line is wrong (flags, script, assertion, an unknown field); nothing was started
  129, 130, 143, 141
       ended early by SIGHUP, SIGINT (Ctrl-C), SIGTERM, or because nobody reads the output any more;
       everything is cleaned up

Examples:
  cargo run --example cluster
  cargo run --example cluster -- --nodes 5 --for 30s --script \"kill n5@5s for 3s; pause n2@15s for 5s\"
  cargo run --example cluster -- --for 60s --script \"kill owner@10s; restart@20s; drain n2@30s; add@40s\"
  cargo run --example cluster -- --for 20s --json --assert \"calls_failed==0 && calls_ok>=10000\"",
        script = indented(callboard_examples::script::GRAMMAR),
        assert = wrapped(callboard_examples::expression::GRAMMAR),
        fields = wrapped(&Summary::of_nothing(&["n1".to_owned()]).field_names().join(" ")),
    )
}

fn indented(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if line.is_empty() {
            line.to_owned()
        } else {
            format!("  {line}")
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Breaks a long line between words, two spaces in.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::from(" ")];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 98 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("  {word}")),
        }
    }
    lines.join("\n")
}
