//! A model of a whole cluster: the pure parts in an event loop, from a seed.
//!
//! Nodes with clocks of their own run the real holder, leases, moves, views and plans. The log is
//! not modelled: it is a perfect one, which takes commands of the term that it is in and no others.
//! Messages are delayed, lost and doubled; nodes crash and come back with their disk or without,
//! are suspended, wedged and cut off; leaders change, and do not know it. Every event is followed
//! by the invariants. Then the faults stop, and every slot must have an owner again in time. The
//! method is that of FoundationDB's simulation (Zhou et al. 2021, section 4) and TigerBeetle's VOPR.

mod check;
mod log;
mod node;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::plant::{Mistake, Plant};
use world::World;

/// Runs one seed; returns what was violated, and how often rare states were reached.
fn run(seed: u64, plant: Plant) -> (Result<(), String>, BTreeMap<&'static str, u64>) {
    let mut world = World::new(seed, plant);
    let result = catch_unwind(AssertUnwindSafe(|| world.run()));
    // An assertion of the product is a violation too.
    let result = result.unwrap_or_else(|_| Err("an assertion has failed".to_owned()));
    (result, world.reached)
}

#[test]
fn no_seed_violates_an_invariant_and_every_rare_state_is_reached() {
    let (mut reached, mut violations) = (BTreeMap::new(), Vec::new());
    for seed in 1..=SEEDS {
        let (result, counts) = run(seed, Plant::NONE);
        violations.extend(result.err().map(|violation| (seed, violation)));
        for (name, count) in counts {
            *reached.entry(name).or_insert(0) += count;
        }
    }
    assert!(
        violations.is_empty(),
        "{}: {violations:#?}",
        violations.len()
    );
    println!("{SEEDS} seeds: {reached:#?}");
    for name in RARE {
        assert!(
            reached.contains_key(name),
            "{name} was never reached: {reached:?}"
        );
    }
}

#[test]
fn a_seed_gives_the_same_run_every_time() {
    for seed in 1..=10 {
        let (first, second) = (run(seed, Plant::NONE), run(seed, Plant::NONE));
        assert_eq!(first, second);
    }
}

/// Looks for a seed that finds the mistake.
fn finds(mistake: Mistake) {
    let plant = Plant::of(Some(mistake));
    let found = (1..=SEEDS_TO_FIND).find_map(|seed| {
        let violation = run(seed, plant).0.err()?;
        // What a mistake breaks is safety; that it takes longer to recover would not show it.
        (!violation.starts_with("nobody acts")).then_some((seed, violation))
    });
    let (seed, violation) = found.unwrap_or_else(|| panic!("{mistake:?} was not found"));
    println!("{mistake:?}: seed {seed}: {violation}");
}

#[test]
fn it_finds_a_renewal_that_is_answered_without_a_quorum() {
    finds(Mistake::AnswerWithoutRead);
}

#[test]
fn it_finds_a_lease_that_is_ended_early() {
    finds(Mistake::EndLeaseEarly);
}

#[test]
fn it_finds_a_renewal_after_the_end_was_asked_for() {
    finds(Mistake::RenewAfterLapse);
}

#[test]
fn it_finds_a_lease_that_is_counted_from_the_receipt() {
    finds(Mistake::CountFromReceipt);
}

#[test]
fn it_finds_an_epoch_that_is_used_again() {
    finds(Mistake::ReuseEpoch);
}

#[test]
fn it_finds_a_forgotten_incarnation() {
    finds(Mistake::ForgetIncarnation);
}

#[test]
fn it_finds_a_start_before_the_stop() {
    finds(Mistake::StartBeforeStop);
}

/// States that a batch of seeds must have reached, or it shows nothing.
const RARE: &[&str] = &[
    "a deposed leader asked for a quorum",
    "a disk was lost",
    "a holder fenced itself",
    "a holder held again after its fence",
    "a join waited for the end of a lease",
    "a lease lapsed",
    "a life without end was proven dead",
    "a move came back",
    "a move ended",
    "a node was suspended beyond its lease",
    "a pool was wedged",
    "a renewal came after the lapse was asked for",
    "a send was forwarded twice",
    "a target was lost",
    "a turn was stuck",
    "an old owner was lost while its slot moved",
    "the leader changed",
];

const SEEDS: u64 = 200;
const SEEDS_TO_FIND: u64 = 2000;
