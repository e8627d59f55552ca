//! The command line: what can be asked for, and all the checks that need no cluster.
//!
//! A [`Plan`] is a command line that has passed them; nothing is started before.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use callboard_examples::expression::Expression;
use callboard_examples::report::{Format, Summary};
use callboard_examples::script::Script;
use callboard_examples::span;
use clap::{Parser, Subcommand};

/// The run failed: see `--help`.
pub(crate) const EXIT_RUN: u8 = 1;
/// The command line is wrong; nothing was started.
pub(crate) const EXIT_USAGE: u8 = 2;

/// Starts a Callboard cluster on this machine, loads it, breaks it, and says what happened.
///
/// N node processes on free loopback ports host a Greeter; one of them holds a Room, a spawned actor
/// whose ref travels in messages. A client calls the Greeter at a steady rate while the script kills,
/// pauses and restarts nodes. Every link is QUIC with mutual TLS, from an authority made for this run
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
    /// Calls to the Greeter a second, whether or not earlier ones were answered; a twentieth of it
    /// goes to the Room as well
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
}

/// A command line that makes sense.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: Vec<String>,
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
        let assert = self
            .assert
            .as_deref()
            .map(|text| condition(text, &nodes))
            .transpose()?;
        Ok(Plan {
            nodes,
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
The fields (answered_n1 and so on, one for each node):
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
it are counted apart, in actor_calls_*. Latency runs from when a call was due to its answer.

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
