//! The rounds: every contender of every case, again and again, and what they found.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::args::{Args, Group};
use crate::case::{CASES, Case};
use crate::child::{self, Place, Server};
use crate::job::{Contender, Figures, Job};
use crate::lossy::Lossy;
use crate::{credentials, report};

/// What was found, by case and contender.
#[derive(Debug, Default)]
pub(crate) struct Results {
    cases: BTreeMap<(&'static str, Contender), Found>,
    /// The cases that this machine cannot run, and what they lack.
    pub(crate) skipped: BTreeMap<&'static str, String>,
}

/// What one contender of one case did.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The figures of each round that came to an end.
    pub(crate) rounds: Vec<Figures>,
    /// What went wrong in the others.
    pub(crate) errors: Vec<String>,
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
struct Pace {
    rounds: u32,
    warm: Duration,
    window: Duration,
}

/// Runs what the arguments say and reports it. Returns whether everything was measured.
pub(crate) fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let cases = chosen(args)?;
    if args.list {
        for case in cases {
            let names: Vec<String> = case.contenders.iter().map(ToString::to_string).collect();
            println!("{:16} {}", case.name, names.join(" "));
        }
        return Ok(true);
    }
    let directory = tempfile::tempdir()?;
    credentials::make(directory.path())?;
    let started = Instant::now();
    let mut results = Results::default();
    let pace = pace(args);
    for round in 0..pace.rounds {
        for case in &cases {
            eprintln!(
                "{:5.0} s  round {} of {}: {}",
                started.elapsed().as_secs_f64(),
                round + 1,
                pace.rounds,
                case.name
            );
            take_turns(case, args, round, pace, directory.path(), &mut results);
        }
    }
    report::print(&results, &cases, args.json, started.elapsed())?;
    Ok(results.cases.values().all(|found| found.errors.is_empty()))
}

fn chosen(args: &Args) -> Result<Vec<&'static Case>, Box<dyn Error>> {
    if let Some(name) = args.case.iter().find(|name| !is_case(name)) {
        return Err(format!("there is no case {name}; --list names them").into());
    }
    let everything = args.groups.is_empty() || args.groups.contains(&Group::All);
    let wanted = |case: &&Case| {
        if args.case.is_empty() {
            (everything || args.groups.contains(&case.group)) && (case.quick || !args.quick)
        } else {
            args.case.iter().any(|name| name == case.name)
        }
    };
    Ok(CASES.iter().filter(wanted).collect())
}

fn is_case(name: &str) -> bool {
    CASES.iter().any(|case| case.name == name)
}

fn pace(args: &Args) -> Pace {
    let (rounds, window_ms) = match (args.quick, args.smoke) {
        (true, _) => (3, 300),
        (_, true) => (1, 50),
        _ => (5, 1000),
    };
    let window = Duration::from_millis(args.window.unwrap_or(window_ms));
    Pace {
        rounds: args.rounds.unwrap_or(rounds),
        warm: (window / 4).clamp(WARM_MIN, WARM_MAX),
        window,
    }
}

/// Measures each contender once. Who is first changes with the round.
fn take_turns(
    case: &'static Case,
    args: &Args,
    round: u32,
    pace: Pace,
    credentials: &Path,
    results: &mut Results,
) {
    let link = match lossy_link(case, round) {
        Ok(link) => link,
        Err(error) => {
            eprintln!("         {} is skipped: {error}", case.name);
            results.skipped.insert(case.name, error.to_string());
            return;
        }
    };
    let place = link.as_ref().map_or_else(Place::loopback, Lossy::place);
    let mut contenders = case.contenders.to_vec();
    let first = round as usize % contenders.len().max(1);
    contenders.rotate_left(first);
    contenders.retain(|contender| args.only.is_empty() || args.only.contains(contender));
    for contender in contenders {
        let found = results.cases.entry((case.name, contender)).or_default();
        match measure(case, contender, pace, credentials, &place) {
            Ok(figures) => found.rounds.push(figures),
            Err(error) => {
                eprintln!("         {} {contender}: {error}", case.name);
                found.errors.push(error.to_string());
            }
        }
    }
}

/// The link of a case that does not run on loopback. Each round loses other packets.
fn lossy_link(case: &Case, round: u32) -> Result<Option<Lossy>, Box<dyn Error>> {
    let open = |permille| Lossy::open(permille, u64::from(round) << 32);
    case.lost_permille.map(open).transpose()
}

fn measure(
    case: &Case,
    contender: Contender,
    pace: Pace,
    credentials: &Path,
    place: &Place,
) -> Result<Figures, Box<dyn Error>> {
    let server = if case.work.is_remote() {
        Some(Server::start(contender, credentials, place)?)
    } else {
        None
    };
    let job = Job {
        contender,
        work: case.work,
        timed: case.timed,
        server: server.as_ref().map(|server| server.ready.clone()),
        credentials: credentials.to_path_buf(),
        warm: pace.warm,
        window: pace.window,
    };
    child::load(&job, place)
}

impl Results {
    /// What one contender of one case did.
    pub(crate) fn found(&self, case: &'static str, contender: Contender) -> Option<&Found> {
        self.cases.get(&(case, contender))
    }

    /// The median of a figure, if it was found in any round.
    pub(crate) fn median(
        &self,
        case: &'static str,
        contender: Contender,
        figure: &str,
    ) -> Option<f64> {
        self.found(case, contender)?
            .spread(figure)
            .map(|s| s.median)
    }
}

/// A figure over all rounds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Found {
    /// The names of the figures that were found.
    pub(crate) fn names(&self) -> Vec<&str> {
        let first = self.rounds.first();
        first.map_or_else(Vec::new, |f| f.0.keys().map(String::as_str).collect())
    }

    /// A figure over all rounds, if it was found in any.
    pub(crate) fn spread(&self, figure: &str) -> Option<Spread> {
        let mut values: Vec<f64> = self.rounds.iter().filter_map(|f| f.get(figure)).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], upper)
        } else {
            upper
        };
        Some(Spread {
            median,
            min: values[0],
            max: values[values.len() - 1],
        })
    }
}

/// Connections need a while to find their windows and datagram sizes.
const WARM_MIN: Duration = Duration::from_millis(50);
const WARM_MAX: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        let round = |value| {
            let mut figures = Figures::default();
            figures.set("calls_per_s", value);
            figures
        };
        let mut found = Found {
            rounds: vec![round(9.0), round(1.0), round(2.0)],
            errors: Vec::new(),
        };
        let median = |found: &Found| {
            found
                .spread("calls_per_s")
                .map(|s| (s.min, s.median, s.max))
        };
        assert_eq!(median(&found), Some((1.0, 2.0, 9.0)));
        found.rounds.push(round(4.0));
        assert_eq!(median(&found), Some((1.0, 3.0, 9.0)));
        assert!(found.spread("p50_ns").is_none());
    }

    #[test]
    fn every_bound_is_of_a_case_in_which_both_take_part() {
        use crate::bound::Against;
        for bound in crate::table::BOUNDS {
            let case = CASES.iter().find(|case| case.name == bound.case);
            let case = case.expect("a case of this name");
            assert!(case.contenders.contains(&bound.of), "{}", case.name);
            if let Against::Times(rival) | Against::Plus(rival) = bound.against {
                assert!(case.contenders.contains(&rival), "{} {rival}", case.name);
            }
        }
    }
}
