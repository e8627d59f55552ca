//! A soak: seeds that were not run before, round after round, summed up in a file.
//!
//! A line of the file is a round: the world, the seeds, how many failed, the simulated and the processor's
//! seconds, and the hash of the executable. Whoever begins again goes on after the last seed of the world;
//! what is summed up are the rounds of this very executable.

use super::batch::gather;
use super::cli::Plan;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::process::ExitCode;
use xxhash_rust::xxh3::xxh3_64;

/// What a line of the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Round {
    world: String,
    seeds: Range<u64>,
    failed: u64,
    simulated_s: u64,
    cpu_s: u64,
    program: String,
}

/// Runs rounds until there were so many. Returns 0 if no seed of this executable has failed.
pub(super) fn run(plan: &Plan, file: &Path, rounds: Option<u64>) -> ExitCode {
    match go_on(plan, file, rounds) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            ExitCode::from(2)
        }
    }
}

/// Returns how many seeds of this executable have failed.
fn go_on(plan: &Plan, file: &Path, rounds: Option<u64>) -> io::Result<u64> {
    let program = format!("{:016x}", xxh3_64(&fs::read(std::env::current_exe()?)?));
    let mut known = read(file)?;
    let mut done = 0;
    while rounds.is_none_or(|rounds| done < rounds) {
        let of_world = known.iter().filter(|it| it.world == plan.world.name());
        let start = of_world.map(|it| it.seeds.end).max().unwrap_or(0);
        let seeds = start..start + SEEDS_IN_ROUND;
        let tally = gather(&Plan {
            seeds: seeds.clone(),
            ..plan.clone()
        });
        let round = Round {
            world: plan.world.name().to_owned(),
            seeds,
            failed: tally.failed.len() as u64,
            simulated_s: tally.virtual_ms / 1000,
            cpu_s: tally.cpu_ms.iter().sum::<u64>() / 1000,
            program: program.clone(),
        };
        let mut out = OpenOptions::new().create(true).append(true).open(file)?;
        writeln!(out, "{}", round.line())?;
        known.push(round);
        done += 1;
        say(&known, plan, &program);
    }
    let ours = known.iter().filter(|it| it.program == program);
    Ok(ours.map(|it| it.failed).sum())
}

fn read(file: &Path) -> io::Result<Vec<Round>> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let rounds: Option<Vec<_>> = text.lines().map(Round::parse).collect();
    rounds.ok_or_else(|| io::Error::other("it holds a line that is no round"))
}

fn say(known: &[Round], plan: &Plan, program: &str) {
    let world = plan.world.name();
    let ours = known
        .iter()
        .filter(|it| it.program == program && it.world == world);
    let sum = |of: fn(&Round) -> u64| ours.clone().map(of).sum::<u64>();
    println!(
        "soak of world `{world}`: {} seeds, {} failed; {} simulated s, {} s of processor time",
        sum(|it| it.seeds.end - it.seeds.start),
        sum(|it| it.failed),
        sum(|it| it.simulated_s),
        sum(|it| it.cpu_s),
    );
}

impl Round {
    fn line(&self) -> String {
        let Range { start, end } = self.seeds;
        format!(
            "{} {start} {end} {} {} {} {}",
            self.world, self.failed, self.simulated_s, self.cpu_s, self.program
        )
    }

    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(' ').collect();
        let [world, start, end, failed, simulated_s, cpu_s, program] = fields[..] else {
            return None;
        };
        Some(Self {
            world: world.to_owned(),
            seeds: start.parse().ok()?..end.parse().ok()?,
            failed: failed.parse().ok()?,
            simulated_s: simulated_s.parse().ok()?,
            cpu_s: cpu_s.parse().ok()?,
            program: program.to_owned(),
        })
    }
}

/// What is lost of a soak that is stopped is less than this.
const SEEDS_IN_ROUND: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_read_as_it_was_written() {
        let round = Round {
            world: "owners".to_owned(),
            seeds: 50..100,
            failed: 1,
            simulated_s: 1500,
            cpu_s: 30,
            program: "0123456789abcdef".to_owned(),
        };
        assert_eq!(Round::parse(&round.line()), Some(round));
        assert_eq!(Round::parse("owners 50 100"), None);
    }
}
