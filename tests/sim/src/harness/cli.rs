//! The command line.

use super::Seed;
use crate::scenario::Scenario;
use callboard::env::Bug;
use clap::Parser;
use clap::builder::PossibleValue;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// Runs whole clusters from a seed, under faults, reproducibly.
#[derive(Debug, Parser)]
#[command(name = "callboard-sim", version)]
struct Args {
    /// The seeds to run, the last one excluded.
    #[arg(long, value_name = "A..B", default_value = "0..20", value_parser = parse_seeds)]
    seeds: Range<u64>,

    /// One seed to run, instead of a range.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,

    /// What kind of world to run.
    #[arg(long, default_value = "calls")]
    world: Scenario,

    /// Write every datagram and event to standard error; only with --seed.
    #[arg(long, requires = "seed")]
    trace: bool,

    /// Run every seed twice and compare (otherwise one seed in twenty is).
    #[arg(long)]
    check: bool,

    /// Run larger worlds, for longer: of owners, those of five nodes and 30 s.
    #[arg(long)]
    long: bool,

    /// Run seeds that were not run before, in long worlds, until it is stopped or `--rounds` are over,
    /// and add each round of 50 to this file. Exits with 1 if any seed in the file has failed.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "target/soak.txt")]
    soak: Option<PathBuf>,

    /// How many rounds of a soak to run [default: no end].
    #[arg(long, value_name = "N", requires = "soak")]
    rounds: Option<u64>,

    /// Plant this bug: the batch then succeeds if a seed FINDS it, and stops there.
    #[arg(long, value_name = "NAME", value_parser = parse_bug)]
    bug: Option<Bug>,

    /// How many seeds to run at a time [default: one per core].
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Do not fail because a rare state was never reached. Batches of less than 100 seeds do not
    /// fail for it anyhow.
    #[arg(long)]
    no_coverage: bool,

    /// Run in this process; what the batch starts its children with.
    #[arg(long, hide = true, requires = "seed")]
    child: bool,
}

/// One run of one seed in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) seed: Seed,
    pub(crate) world: Scenario,
    pub(crate) bug: Option<Bug>,
    pub(crate) trace: bool,
    /// The world is larger, and lasts longer.
    pub(crate) is_long: bool,
}

/// A batch of seeds, each in a process of its own.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seeds: Range<u64>,
    pub(super) world: Scenario,
    pub(super) bug: Option<Bug>,
    pub(super) trace: bool,
    pub(super) is_long: bool,
    pub(super) check_all: bool,
    pub(super) coverage: bool,
    pub(super) jobs: usize,
}

/// What the command line asks for.
pub(super) enum Task {
    OneSeed(Order),
    Batch(Plan),
    Soak(Plan, PathBuf, Option<u64>),
}

/// Reads the command line; on a mistake prints it and ends the process with 2.
pub(super) fn parse() -> Task {
    let args = Args::parse();
    if let (true, Some(seed)) = (args.child, args.seed) {
        let order = Order {
            seed: Seed(seed),
            world: args.world,
            bug: args.bug,
            trace: args.trace,
            is_long: args.long,
        };
        return Task::OneSeed(order);
    }
    let seeds = args
        .seed
        .map_or(args.seeds, |seed| seed..seed.saturating_add(1));
    let plan = Plan {
        coverage: !args.no_coverage
            && args.bug.is_none()
            && seeds.end - seeds.start >= COVERAGE_SEEDS_MIN,
        seeds,
        world: args.world,
        bug: args.bug,
        trace: args.trace,
        is_long: args.long || args.soak.is_some(),
        check_all: args.check,
        jobs: args
            .jobs
            .or_else(|| available_parallelism().ok())
            .map_or(1, NonZeroUsize::get),
    };
    match args.soak {
        Some(file) => Task::Soak(plan, file, args.rounds),
        None => Task::Batch(plan),
    }
}

impl Order {
    /// Returns the arguments that make a process run exactly this.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--child".to_owned()];
        arguments.extend(replay(self.seed.0, self.world, self.bug, self.is_long));
        if self.trace {
            arguments.push("--trace".to_owned());
        }
        arguments
    }
}

/// Returns the arguments that run a seed again.
pub(super) fn replay(seed: u64, world: Scenario, bug: Option<Bug>, is_long: bool) -> Vec<String> {
    let mut arguments = vec!["--world".to_owned(), world.name().to_owned()];
    arguments.extend(["--seed".to_owned(), seed.to_string()]);
    if let Some(bug) = bug {
        arguments.extend(["--bug".to_owned(), bug.name().to_owned()]);
    }
    if is_long {
        arguments.push("--long".to_owned());
    }
    arguments
}

impl clap::ValueEnum for Scenario {
    fn value_variants<'a>() -> &'a [Self] {
        Scenario::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.about()))
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let wanted = || format!("wanted two numbers like 0..100, got `{text}`");
    let (start, end) = text.split_once("..").ok_or_else(wanted)?;
    let (start, end): (u64, u64) = (
        start.parse().map_err(|_| wanted())?,
        end.parse().map_err(|_| wanted())?,
    );
    if start < end {
        Ok(start..end)
    } else {
        Err(format!("`{text}` holds no seed"))
    }
}

fn parse_bug(text: &str) -> Result<Bug, String> {
    Bug::ALL
        .into_iter()
        .find(|bug| bug.name() == text)
        .ok_or_else(|| format!("wanted one of {}", Bug::ALL.map(Bug::name).join(", ")))
}

/// A batch at least this large has to reach every rare state.
const COVERAGE_SEEDS_MIN: u64 = 100;
