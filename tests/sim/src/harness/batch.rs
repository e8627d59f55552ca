//! A batch: every seed in a process of its own, so that nothing leaks from one into the next.
//!
//! One seed in twenty is run twice, and the hashes of the two traces have to be equal. If they are
//! not, the two traces are compared and the first line that differs is printed.

use super::Seed;
use super::cli::{Order, Plan, replay};
use super::outcome::{Failure, Outcome};
use std::collections::BTreeMap;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

/// What a batch has come to so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) seeds: u64,
    twice: u64,
    pub(super) failed: Vec<u64>,
    pub(super) cpu_ms: Vec<u64>,
    pub(super) virtual_ms: u64,
    reached: BTreeMap<String, u64>,
    totals: BTreeMap<String, u64>,
}

/// Runs a batch and prints what came of it. Returns 0 if everything held or, with a planted bug, if
/// a seed found it.
pub(super) fn run(plan: &Plan) -> ExitCode {
    let started = Instant::now();
    let tally = gather(plan);
    let covered = tally.print(plan, started.elapsed().as_secs_f64());
    let passed = match plan.bug {
        Some(_) => !tally.failed.is_empty(),
        None => tally.failed.is_empty() && covered,
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs all seeds of a plan, or, with a planted bug, those up to the one that finds it. Prints failures
/// as they come.
pub(super) fn gather(plan: &Plan) -> Tally {
    let next = AtomicU64::new(plan.seeds.start);
    let stop = AtomicBool::new(false);
    let tally = Mutex::new(Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= plan.seeds.end {
                        return;
                    }
                    let judged = judge(plan, seed);
                    let found = judged.failure.is_some();
                    if let Ok(mut tally) = tally.lock() {
                        tally.add(plan, &judged);
                    }
                    if found && plan.bug.is_some() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    // A worker that panicked has already ended the scope with its panic.
    tally.into_inner().unwrap_or_default()
}

/// One seed after all its runs.
struct Judged {
    seed: u64,
    twice: bool,
    outcome: Option<Outcome>,
    failure: Option<Failure>,
    output: String,
}

/// Runs a seed once, or twice where it is due, and compares.
fn judge(plan: &Plan, seed: u64) -> Judged {
    let order = Order {
        seed: Seed(seed),
        world: plan.world,
        bug: plan.bug,
        trace: plan.trace,
        is_long: plan.is_long,
    };
    let twice = plan.check_all
        || (plan.bug.is_none() && (seed - plan.seeds.start).is_multiple_of(TWICE_EVERY));
    let first = spawn(&order);
    let mut failure = match &first.outcome {
        Some(outcome) => outcome.failure.clone(),
        None => Some(died(&first)),
    };
    if let (true, None, Some(outcome)) = (twice, &failure, &first.outcome) {
        let second = spawn(&order);
        let same = second
            .outcome
            .is_some_and(|other| other.trace_hash == outcome.trace_hash);
        if !same {
            failure = Some(Failure {
                invariant: "same-trace-twice".to_owned(),
                detail: first_difference(&order),
                at_ms: outcome.virtual_ms,
            });
        }
    }
    Judged {
        seed,
        twice,
        outcome: first.outcome,
        failure,
        output: first.errors,
    }
}

/// What a child process left behind.
struct Ended {
    outcome: Option<Outcome>,
    errors: String,
    how: String,
}

fn spawn(order: &Order) -> Ended {
    let inherit = order.trace;
    let run = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .args(order.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(if inherit {
                Stdio::inherit()
            } else {
                Stdio::piped()
            })
            .spawn()?
            .wait_with_output()
    });
    match run {
        Err(error) => Ended {
            outcome: None,
            errors: String::new(),
            how: error.to_string(),
        },
        Ok(output) => Ended {
            outcome: serde_json::from_slice(&output.stdout).ok(),
            errors: String::from_utf8_lossy(&output.stderr).into_owned(),
            how: output.status.to_string(),
        },
    }
}

fn died(ended: &Ended) -> Failure {
    Failure {
        invariant: "the-process-of-a-seed-ends-by-itself".to_owned(),
        detail: format!("no outcome; {}", ended.how),
        at_ms: 0,
    }
}

/// Runs a seed twice more, with text, and returns where the two part.
fn first_difference(order: &Order) -> String {
    let texts = [(); 2].map(|()| trace_text(order));
    let mut lines = texts[0].lines().zip(texts[1].lines()).enumerate();
    match lines.find(|(_, (a, b))| a != b) {
        Some((at, (a, b))) => format!("line {at} of the trace differs:\n    {a}\n    {b}"),
        None => "the hashes differ, and two further traces were equal".to_owned(),
    }
}

fn trace_text(order: &Order) -> String {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error.to_string(),
    };
    let run = Command::new(program)
        .args(order.arguments())
        .arg("--trace")
        .output();
    run.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

impl Tally {
    fn add(&mut self, plan: &Plan, judged: &Judged) {
        self.seeds += 1;
        self.twice += u64::from(judged.twice);
        if let Some(outcome) = &judged.outcome {
            self.cpu_ms.push(outcome.cpu_ms);
            self.virtual_ms += outcome.virtual_ms;
            merge(&mut self.reached, &outcome.reached);
            merge(&mut self.totals, &outcome.totals);
        }
        let Some(failure) = &judged.failure else {
            return;
        };
        self.failed.push(judged.seed);
        let command = replay(judged.seed, plan.world, plan.bug, plan.is_long).join(" ");
        println!("seed {}: {failure}", judged.seed);
        println!("  replay: cargo run -q -p callboard-sim -- {command} --trace");
        for line in judged.output.lines().take(OUTPUT_LINES_MAX) {
            println!("  | {line}");
        }
    }

    /// Prints the summary; returns whether every rare state was reached that had to be.
    fn print(&self, plan: &Plan, wall_secs: f64) -> bool {
        let mut cpu_ms = self.cpu_ms.clone();
        cpu_ms.sort_unstable();
        let median = cpu_ms.get(cpu_ms.len() / 2).copied().unwrap_or(0);
        println!(
            "{} seeds of world `{}`: {} failed, {} run twice; {:.0} simulated s in {wall_secs:.1} s; \
             processor time a seed: median {median} ms, most {} ms",
            self.seeds,
            plan.world.name(),
            self.failed.len(),
            self.twice,
            self.virtual_ms as f64 / 1e3,
            cpu_ms.last().copied().unwrap_or(0),
        );
        for (name, count) in &self.totals {
            println!("  {name}: {count}");
        }
        if let Some(bug) = plan.bug {
            let found = if self.failed.is_empty() {
                "was NOT found"
            } else {
                "was found"
            };
            println!("planted bug `{}` {found}", bug.name());
            return true;
        }
        let mut covered = true;
        for (name, count) in &self.reached {
            println!("  sometimes {name}: {count}");
            covered &= *count > 0;
        }
        if !covered && plan.coverage {
            println!("some rare state was never reached: this batch proves nothing about it");
        }
        covered || !plan.coverage
    }
}

fn merge(into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (name, count) in from {
        *into.entry(name.clone()).or_default() += count;
    }
}

/// One seed in this many is run twice: 5 %.
const TWICE_EVERY: u64 = 20;

/// Lines of a failing child's standard error that are shown.
const OUTPUT_LINES_MAX: usize = 20;
