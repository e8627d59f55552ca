//! A few worlds of calls hold all promises, and each planted bug is found.
//!
//! CI runs a larger batch through the binary; here are the seeds that a developer waits for.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_callboard-sim");
    Command::new(program)
        .args(arguments)
        .output()
        .expect("the simulator was built with this test")
}

fn text(run: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr)
    )
}

/// Plants a bug; the recorded seed finds it. A change of the product moves what a seed does, so a few
/// seeds after it are tried too before the bug counts as missed.
#[track_caller]
fn is_found(bug: &str, seed: u64, by: &[&str]) {
    let seeds = format!("{seed}..{}", seed + SEEDS_MAX);
    let run = sim(&["--bug", bug, "--seeds", &seeds]);
    assert!(run.status.success(), "{bug} was not found\n{}", text(&run));
    let found = by.iter().any(|invariant| text(&run).contains(invariant));
    assert!(found, "{bug} was found, but not by {by:?}\n{}", text(&run));
}

/// How many seeds, from the recorded one on, are tried before a bug counts as missed.
const SEEDS_MAX: u64 = 24;

#[test]
fn ten_worlds_hold_all_promises() {
    let run = sim(&["--seeds", "0..10"]);
    assert!(run.status.success(), "{}", text(&run));
}

#[test]
fn a_world_of_nodes_replays_bit_for_bit() {
    let run = sim(&["--seeds", "10..12", "--check"]);
    assert!(run.status.success(), "{}", text(&run));
    assert!(text(&run).contains("2 run twice"), "{}", text(&run));
}

#[test]
fn a_reply_to_the_wrong_call_is_found() {
    is_found(
        "wrong-reply",
        1,
        &[
            "no-reply-reaches-the-wrong-call",
            "an-error-tells-the-truth",
        ],
    );
}

#[test]
fn a_lost_cancellation_is_found() {
    is_found("lost-cancel", 1, &["dropped-work-stops", "nothing-leaks"]);
}

#[test]
fn a_retry_of_a_call_that_may_have_run_is_found() {
    is_found("unsafe-retry", 11, &["nothing-runs-twice"]);
}

#[test]
fn a_reordered_lane_is_found() {
    is_found("reordered-lane", 1, &["order-is-kept-per-pair"]);
}

#[test]
fn a_leaked_slot_is_found() {
    is_found("leaked-slot", 1, &["nothing-leaks"]);
}

#[test]
fn a_forgotten_deadline_is_found() {
    is_found(
        "forgotten-deadline",
        1,
        &["every-call-ends-by-its-deadline"],
    );
}
