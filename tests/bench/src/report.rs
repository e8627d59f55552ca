//! The result: a table for people, or JSON for programs.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use serde::Serialize;

use crate::args::Group;
use crate::bound::{Limit, RAW_TO_TONIC_MIN, Verdict, raw_to_tonic};
use crate::case::Case;
use crate::job::Contender;
use crate::run::{Found, Results, Spread};
use crate::table::BOUNDS;

/// One contender of one case.
#[derive(Debug, Serialize)]
struct Line<'a> {
    case: &'a str,
    contender: Contender,
    rounds: usize,
    figures: BTreeMap<&'a str, Spread>,
    errors: &'a [String],
}

/// What the whole run says.
#[derive(Debug, Serialize)]
struct Summary {
    bounds: Vec<Verdict>,
    /// How many times as fast raw quinn was as gRPC: below eight it is no measure.
    raw_to_tonic: Option<f64>,
    /// Nothing, if none of them was measured.
    bold_hold: Option<bool>,
    /// The cases that this machine cannot run, and what they lack.
    skipped: BTreeMap<&'static str, String>,
    hold: usize,
    of: usize,
    machine: Machine,
    seconds: f64,
}

/// What the run was made on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    kernel: String,
    /// Averages over 1, 5 and 15 minutes, at the end of the run.
    pub(crate) load: String,
}

/// Prints the results.
pub(crate) fn print(
    results: &Results,
    cases: &[&'static Case],
    json: bool,
    took: Duration,
) -> Result<(), Box<dyn Error>> {
    let summary = summary(results, took);
    if json {
        for (case, contender, found) in measured(results, cases) {
            println!("{}", serde_json::to_string(&line(case, contender, found))?);
        }
        println!("{}", serde_json::json!({ "summary": summary }));
        return Ok(());
    }
    for case in cases {
        println!("\n{}", case.name);
        for (_, contender, found) in measured(results, &[case]) {
            println!("  {:16}{}", contender.to_string(), figures(found, case));
        }
    }
    print_bounds(&summary);
    Ok(())
}

fn measured<'a>(
    results: &'a Results,
    cases: &[&'static Case],
) -> Vec<(&'static str, Contender, &'a Found)> {
    let mut measured = Vec::new();
    for case in cases {
        for contender in case.contenders {
            if let Some(found) = results.found(case.name, *contender) {
                measured.push((case.name, *contender, found));
            }
        }
    }
    measured
}

fn line<'a>(case: &'a str, contender: Contender, found: &'a Found) -> Line<'a> {
    let figures = found.names().into_iter();
    Line {
        case,
        contender,
        rounds: found.rounds.len(),
        figures: figures
            .filter_map(|name| Some((name, found.spread(name)?)))
            .collect(),
        errors: &found.errors,
    }
}

fn summary(results: &Results, took: Duration) -> Summary {
    let judged = BOUNDS.iter().filter_map(|bound| bound.judge(results));
    let bounds: Vec<Verdict> = judged.collect();
    let mut bold = bounds.iter().filter(|verdict| verdict.bold);
    Summary {
        raw_to_tonic: raw_to_tonic(results),
        skipped: results.skipped.clone(),
        bold_hold: bold
            .clone()
            .next()
            .map(|_| bold.all(|verdict| verdict.holds)),
        hold: bounds.iter().filter(|verdict| verdict.holds).count(),
        of: bounds.len(),
        bounds,
        machine: Machine::here(),
        seconds: took.as_secs_f64(),
    }
}

impl Machine {
    /// This one, now.
    pub(crate) fn here() -> Self {
        let read = |path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.trim().to_owned()
        };
        Self {
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            kernel: read("/proc/sys/kernel/osrelease"),
            load: read("/proc/loadavg"),
        }
    }
}

fn figures(found: &Found, case: &Case) -> String {
    let mut text = String::new();
    for name in found.names() {
        // The sum of the two stands for them; what is always zero or follows is left out.
        if ["cpu_client_ns", "cpu_server_ns", "max_ns"].contains(&name)
            || (name == "body_bytes_per_s" && case.group != Group::Bulk)
        {
            continue;
        }
        let Some(spread) = found.spread(name) else {
            continue;
        };
        if spread.max == 0.0 && name == "failed" {
            continue;
        }
        // Writing to a `String` does not fail.
        let _ = write!(text, "  {name} {}", number(spread.median));
        if found.rounds.len() > 1 {
            let _ = write!(text, " ({}..{})", number(spread.min), number(spread.max));
        }
    }
    for error in &found.errors {
        let _ = write!(text, "  error: {error}");
    }
    text
}

fn print_bounds(summary: &Summary) {
    println!("\nbounds: medians of this run; * must hold");
    println!(
        "  {:49} {:12} {:>8} {:>8}  {:>7}  {:>8}  verdict",
        "row", "against", "ours", "theirs", "value", "must"
    );
    for verdict in &summary.bounds {
        let against = verdict.against.map_or(String::new(), |c| c.to_string());
        let moonshot = match verdict.moonshot_holds {
            Some(true) => ", moonshot",
            _ => "",
        };
        println!(
            "{} {:49} {against:12} {:>8} {:>8}  {:>7}  {:>8}  {}{moonshot}",
            if verdict.bold { '*' } else { ' ' },
            format!("{} [{}]", verdict.row, verdict.figure),
            number(verdict.ours),
            verdict.theirs.map_or(String::new(), number),
            number(verdict.value),
            limit(verdict.must),
            if verdict.holds { "holds" } else { "MISSED" },
        );
    }
    for (case, error) in &summary.skipped {
        println!("{case} was skipped: {error}");
    }
    if let Some(times) = summary.raw_to_tonic {
        let counts = if times >= RAW_TO_TONIC_MIN {
            "counts"
        } else {
            "does NOT count"
        };
        println!("raw quinn is {times:.1} x tonic unary, so it {counts} (>= {RAW_TO_TONIC_MIN})");
    }
    println!(
        "{} of {} bounds hold, of the bold ones {}; {} cores, load {}; {:.0} s",
        summary.hold,
        summary.of,
        match summary.bold_hold {
            Some(true) => "all",
            Some(false) => "not all",
            None => "none was measured",
        },
        summary.machine.cores,
        summary.machine.load,
        summary.seconds
    );
}

/// A bound, as it is read.
pub(crate) fn limit(limit: Limit) -> String {
    match limit {
        Limit::AtLeast(least) => format!(">= {}", number(least)),
        Limit::AtMost(most) => format!("<= {}", number(most)),
    }
}

/// Three digits that count.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if size >= 1e9 => format!("{:.2}G", value / 1e9),
        _ if size >= 1e6 => format!("{:.2}M", value / 1e6),
        _ if size >= 1e4 => format!("{:.1}k", value / 1e3),
        _ if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
