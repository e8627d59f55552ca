//! What a row has found, for people and for programs.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use serde::Serialize;

use super::cluster::Cluster;
use super::load::Load;
use super::options::{Row, Times};
use crate::bound::Limit;
use crate::report::{Machine, limit, number};

/// What one row has found.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    row: Row,
    profile: Times,
    times: u32,
    figures: BTreeMap<String, f64>,
    bounds: Vec<Verdict>,
}

/// What became of a bound.
#[derive(Debug, Serialize)]
struct Verdict {
    figure: String,
    bold: bool,
    must: Limit,
    holds: bool,
}

/// What the whole run says.
#[derive(Debug, Serialize)]
struct Summary {
    hold: usize,
    of: usize,
    machine: Machine,
    seconds: f64,
}

impl Found {
    pub(crate) fn new(row: Row, profile: Times, times: u32) -> Self {
        Self {
            row,
            profile,
            times,
            figures: BTreeMap::new(),
            bounds: Vec::new(),
        }
    }

    pub(crate) fn set(&mut self, figure: &str, value: f64) {
        self.figures.insert(figure.to_owned(), value);
    }

    /// A figure; not a number if it was not found.
    pub(crate) fn get(&self, figure: &str) -> f64 {
        self.figures.get(figure).copied().unwrap_or(f64::NAN)
    }

    /// Half, 99 of 100 and all of some times, in milliseconds.
    pub(crate) fn quantiles(&mut self, of: &str, times: &mut [Duration]) {
        times.sort_unstable();
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let ms = quantile(times, share).as_secs_f64() * 1e3;
            self.set(&format!("{of}_{name}_ms"), ms);
        }
    }

    /// Says how large a figure may be. One that was not found is none that holds.
    pub(crate) fn must(&mut self, figure: &str, bold: bool, most: f64) {
        let must = Limit::AtMost(most);
        let found = self.figures.get(figure);
        self.bounds.push(Verdict {
            figure: figure.to_owned(),
            bold,
            must,
            holds: found.is_some_and(|it| must.holds(*it)),
        });
    }

    /// Ends everything, and says what became of the calls, and of the turns.
    pub(crate) async fn judge(
        &mut self,
        cluster: Cluster,
        load: Load,
    ) -> Result<(), Box<dyn Error>> {
        let counts = load.end().await;
        let verdict = cluster.end().await?;
        let failed = counts.failures();
        if counts.begun != counts.answered + failed {
            return Err(format!("calls were lost: {counts:?}").into());
        }
        for (code, number) in &counts.failed {
            eprintln!("         {number} calls failed: {code}");
        }
        for finding in verdict.findings {
            eprintln!("         {finding}");
        }
        self.set("calls", counts.begun as f64);
        self.set("failed_calls", failed as f64);
        self.set("turns", verdict.turns as f64);
        self.set("overlapping_turns", verdict.overlapping_turns as f64);
        self.set("epoch_regressions", verdict.epoch_regressions as f64);
        self.must("failed_calls", true, 0.0);
        self.must("overlapping_turns", true, 0.0);
        self.must("epoch_regressions", true, 0.0);
        Ok(())
    }

    /// Prints it, as soon as it is there: a row may take minutes.
    pub(crate) fn print(&self, json: bool) -> Result<(), Box<dyn Error>> {
        if json {
            println!("{}", serde_json::to_string(self)?);
            return Ok(());
        }
        println!(
            "\n{} ({}), {} times",
            named(self.row)?,
            named(self.profile)?,
            self.times
        );
        for (figure, value) in &self.figures {
            println!("  {figure:22} {}", number(*value));
        }
        for bound in &self.bounds {
            println!(
                "{} {:22} {:>8}  {}",
                if bound.bold { '*' } else { ' ' },
                bound.figure,
                limit(bound.must),
                if bound.holds { "holds" } else { "MISSED" },
            );
        }
        Ok(())
    }
}

/// Prints what all rows say together.
pub(crate) fn sum_up(all: &[Found], json: bool, took: Duration) {
    let bounds = || all.iter().flat_map(|found| &found.bounds);
    let summary = Summary {
        hold: bounds().filter(|it| it.holds).count(),
        of: bounds().count(),
        machine: Machine::here(),
        seconds: took.as_secs_f64(),
    };
    if json {
        println!("{}", serde_json::json!({ "summary": summary }));
    } else {
        println!(
            "\n{} of {} bounds hold (* must); {} cores, load {}; {:.0} s",
            summary.hold, summary.of, summary.machine.cores, summary.machine.load, summary.seconds
        );
    }
}

/// The value within which such a share of sorted ones are; zero of none.
fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let at = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(at.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// As it is typed.
fn named(value: impl clap::ValueEnum) -> Result<String, Box<dyn Error>> {
    let value = value.to_possible_value().ok_or("it has no name")?;
    Ok(value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_of_a_hundred_is_one_of_them() {
        let ms: Vec<_> = (1..=100).map(Duration::from_millis).collect();
        let of = |share| quantile(&ms, share).as_millis();
        assert_eq!((of(0.5), of(0.99), of(1.0)), (50, 99, 100));
        assert_eq!(quantile(&ms[..1], 0.5), ms[0]);
        assert_eq!(quantile(&[], 0.99), Duration::ZERO);
    }
}
