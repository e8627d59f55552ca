//! Clusters from seeds: nothing committed is lost, a deposed leader answers nothing, planted bugs
//! are found.
//!
//! `CONTROL_SEEDS=5000 cargo test --release -p callboard control::tests::seeds` runs more.

use super::cluster::{Cluster, Seen};
use crate::env::Bug;

const SEEDS: u64 = 200;

#[test]
fn what_is_committed_stays_and_a_deposed_leader_answers_nothing() {
    let seeds = std::env::var("CONTROL_SEEDS").map_or(SEEDS, |it| it.parse().expect("a number"));
    let mut all = Seen::default();
    for seed in 0..seeds {
        let seen = Cluster::new(seed, None).run();
        let seen = seen.unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        all.committed += seen.committed;
        all.elections += seen.elections;
        all.reads += seen.reads;
        all.installs += seen.installs;
        all.replaced += seen.replaced;
        all.disk_errors += seen.disk_errors;
        all.crashes += seen.crashes;
    }
    println!("{all:?}");
    let counts = [
        all.committed / 100,
        all.elections / 4,
        all.reads / 100,
        all.installs,
        all.replaced,
        all.disk_errors,
        all.crashes,
    ];
    let rare = counts.iter().all(|count| *count >= seeds / 4);
    assert!(rare, "too little has happened: {all:?}");
}

#[test]
fn a_seed_gives_one_run() {
    for seed in [3, 17] {
        let runs = [(); 2].map(|()| format!("{:?}", Cluster::new(seed, None).run()));
        assert_eq!(runs[0], runs[1]);
    }
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    assert_found(Bug::UnsyncedAck);
}

#[test]
fn a_read_that_asks_no_quorum_is_found() {
    assert_found(Bug::RenewalWithoutRead);
}

/// The library may notice by itself that its log is not what it was, and panic.
fn assert_found(bug: Bug) {
    let is_found = |seed: &u64| {
        let seed = *seed;
        let run = std::panic::catch_unwind(move || Cluster::new(seed, Some(bug)).run());
        !matches!(run, Ok(Ok(_)))
    };
    let found = (0..SEEDS).find(is_found);
    println!("{bug:?}: found by seed {found:?}");
    assert!(found.is_some(), "{bug:?} was not found in {SEEDS} seeds");
}
