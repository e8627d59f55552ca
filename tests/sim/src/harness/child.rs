//! The process of one seed: arms the C symbols, runs the world, prints one line of JSON.

use super::cli::Order;
use super::outcome::{Failure, Outcome};
use super::{Seed, sometimes, trace};
use crate::Symbols;
use callboard::env::Bug;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

thread_local! {
    static PANIC: RefCell<Option<Failure>> = const { RefCell::new(None) };
}

/// What a scenario is given, and what it reports through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// The number everything follows from.
    pub(crate) seed: Seed,
    /// The bug to plant, if any.
    pub(crate) bug: Option<Bug>,
    /// The world is to be larger, and to last longer.
    pub(crate) is_long: bool,
    set_elapsed: fn(Duration),
}

impl Run {
    /// Moves the clocks of the process, and of the trace, to this virtual time.
    pub(crate) fn set_now(&self, now: Duration) {
        (self.set_elapsed)(now);
        trace::set_now(now);
    }

    /// Returns the first panic that was not part of the workload, as a failure.
    pub(crate) fn panicked(&self) -> Option<Failure> {
        PANIC.with_borrow(Clone::clone)
    }
}

/// What a scenario hands back.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The first invariant that did not hold.
    pub(crate) failure: Option<Failure>,
    /// What the world counted, for readers.
    pub(crate) totals: BTreeMap<String, u64>,
}

/// Runs one seed in this process, prints its outcome, and returns 0 if every invariant held.
pub(super) fn run(symbols: Symbols, order: &Order) -> ExitCode {
    (symbols.limit_cpu)(CPU_SECONDS_MAX);
    (symbols.arm)(order.seed.0);
    trace::start(order.trace);
    std::panic::set_hook(Box::new(note_panic));
    let run = Run {
        seed: order.seed,
        bug: order.bug,
        is_long: order.is_long,
        set_elapsed: symbols.set_elapsed,
    };
    run.set_now(Duration::ZERO);
    let verdict = order.world.run(run);
    let failure = run.panicked().or(verdict.failure);
    let passed = failure.is_none();
    let summary = trace::summary();
    let outcome = Outcome {
        seed: order.seed.0,
        trace_hash: format!("{:016x}", summary.hash),
        events: summary.events,
        datagrams: summary.datagrams,
        virtual_ms: u64::try_from(trace::now().as_millis()).unwrap_or(u64::MAX),
        cpu_ms: (symbols.cpu_ms)(),
        failure,
        reached: sometimes::counts(order.world.rare_states()),
        totals: verdict.totals,
    };
    match serde_json::to_string(&outcome) {
        Ok(line) => println!("{line}"),
        Err(error) => eprintln!("the outcome cannot be written: {error}"),
    }
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Writes a panic into the trace, and keeps the first one that is not part of the workload: product
/// code must not panic, whatever the network does.
fn note_panic(info: &std::panic::PanicHookInfo<'_>) {
    let text = info
        .payload_as_str()
        .map_or_else(|| "a panic without a message".to_owned(), ToOwned::to_owned);
    if text.starts_with(PLANNED_PANIC) {
        trace::event!("panic {text}");
        return;
    }
    let place = info
        .location()
        .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
    eprintln!("panicked: {text}{place}");
    PANIC.with_borrow_mut(|first| {
        first.get_or_insert_with(|| Failure::now("no-panic", format!("{text}{place}")));
    });
}

impl Failure {
    /// Makes a failure that was seen at the current virtual time.
    pub(crate) fn now(invariant: &str, detail: String) -> Self {
        let at_ms = u64::try_from(trace::now().as_millis()).unwrap_or(u64::MAX);
        Self {
            invariant: invariant.to_owned(),
            detail,
            at_ms,
        }
    }
}

/// How the message of a panic begins that the workload makes on purpose.
pub(crate) const PLANNED_PANIC: &str = "planned panic";

/// A seed takes about a second; one that takes this long has stopped advancing.
const CPU_SECONDS_MAX: u64 = 60;
