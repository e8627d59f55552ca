//! What can be asked for.

use std::time::Duration;

use callboard::Profile;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Measures what keyed actors go through when nodes are lost, drained and added
///
/// Starts node processes of its own on loopback, calls many keys all the time, and does the same thing to
/// the nodes again and again. No call is left out: each is answered or counted by its error. All of it
/// takes about half an hour.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What is measured [default: all of them]
    #[arg(value_name = "ROW")]
    pub(crate) rows: Vec<Row>,
    /// Only these times of leases; may be repeated [default: both where nodes are killed, else lan]
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Vec<Times>,
    /// How often it is done [default: 100 for kill, 50 for kill-both, 20 for kill-leader, 10 for
    /// drain, 3 for add; calls for cold, 5000; keys for idle, 1000000; clusters for form, 1; with --smoke 1
    /// or 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) times: Option<u32>,
    /// How many keys are called, each with one call at a time [default: 256; 64 for kill-leader, drain and add]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) keys: Option<u32>,
    /// The pause between an answer and the next call of its key [default: 100; 10 for kill-leader, drain and add]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) pause: Option<u64>,
    /// How many slots the keys are in, a power of two [default: 4096; 256 with --smoke]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
    /// Everything once: shows that it runs, says nothing about time
    #[arg(long)]
    pub(crate) smoke: bool,
    /// One JSON object a line: one for each row, then a summary
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Row {
    /// SIGKILL of one of three nodes: it owns keys and does not lead
    Kill,
    /// SIGKILL of two of five nodes at once: the leader, and one that owns keys and does not vote
    KillBoth,
    /// SIGKILL of a leader that owns nothing
    KillLeader,
    /// One of three nodes is drained, stopped and started again
    Drain,
    /// A fourth node joins
    Add,
    /// 500 first calls of keys a second, beside as many of keys that were called before
    Cold,
    /// A million keys that were called once, on one node
    Idle,
    /// Clusters of 3, 10 and 50 nodes, each in one process
    Form,
}

/// The times that leases go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Times {
    /// A lease of 3 s
    Lan,
    /// A lease of 1 s
    Fast,
}

/// How many keys are called, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) keys: u32,
    /// Between an answer and the next call of its key.
    pub(crate) pause: Duration,
}

impl Options {
    /// The rows that are to be measured.
    pub(crate) fn rows(&self) -> &[Row] {
        if self.rows.is_empty() {
            Row::value_variants()
        } else {
            &self.rows
        }
    }

    /// By which times a row is measured.
    pub(crate) fn profiles(&self, row: Row) -> Vec<Times> {
        match (&self.profile[..], row) {
            ([], Row::Kill | Row::KillBoth) if !self.smoke => vec![Times::Lan, Times::Fast],
            ([], _) if self.smoke => vec![Times::Fast],
            ([], _) => vec![Times::Lan],
            (chosen, _) => chosen.to_vec(),
        }
    }

    /// How often it is done.
    pub(crate) fn times(&self, row: Row) -> u32 {
        self.times.unwrap_or(match row {
            Row::Cold | Row::Idle if self.smoke => 100,
            _ if self.smoke => 1,
            Row::Kill => 100,
            Row::KillBoth => 50,
            Row::KillLeader => 20,
            Row::Drain => 10,
            Row::Add => 3,
            Row::Cold => 5000,
            Row::Idle => 1_000_000,
            Row::Form => 1,
        })
    }

    /// How many slots there are.
    pub(crate) fn slots(&self) -> u32 {
        self.slots.unwrap_or(if self.smoke { 256 } else { 4096 })
    }

    /// How many keys are called, and how often.
    pub(crate) fn pace(&self, row: Row) -> Pace {
        let (keys, pause) = match row {
            Row::KillLeader | Row::Drain | Row::Add => (64, 10),
            _ => (256, 100),
        };
        Pace {
            keys: self.keys.unwrap_or(keys),
            pause: Duration::from_millis(self.pause.unwrap_or(pause)),
        }
    }
}

impl Times {
    pub(crate) const fn profile(self) -> Profile {
        match self {
            Self::Lan => Profile::lan(),
            Self::Fast => Profile::fast(),
        }
    }
}
