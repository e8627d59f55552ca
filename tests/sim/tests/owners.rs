//! A few worlds in which nodes own keyed actors hold all promises, and planted bugs are found.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_callboard-sim");
    Command::new(program)
        .args(["--world", "owners"])
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
fn ten_worlds_of_owners_hold_all_promises() {
    let run = sim(&["--seeds", "1..11"]);
    assert!(run.status.success(), "{}", text(&run));
}

#[test]
fn a_world_of_owners_replays_bit_for_bit() {
    let run = sim(&["--seeds", "11..13", "--check"]);
    assert!(run.status.success(), "{}", text(&run));
    assert!(text(&run).contains("2 run twice"), "{}", text(&run));
}

/// In this world a member had not heard where the slots of a drained node had gone, and called it in the
/// very moment in which its port was closed.
#[test]
fn a_node_that_leaves_is_not_called_for_the_keys_that_it_had() {
    let run = sim(&["--seeds", "0..1"]);
    assert!(run.status.success(), "{}", text(&run));
}

/// In this world the first turn of a key ended while its lease had ended, and the same life got it back.
#[test]
fn a_state_that_was_left_without_a_lease_may_count_when_it_is_back() {
    let run = sim(&["--seeds", "240..241"]);
    assert!(run.status.success(), "{}", text(&run));
}

/// In this world a node is to leave while nobody can take over.
#[test]
fn a_node_that_is_not_drained_acts_on_until_its_power_fails() {
    let run = sim(&["--seeds", "265..266"]);
    assert!(run.status.success(), "{}", text(&run));
}

#[test]
fn a_turn_that_starts_before_its_slot_has_come_is_found() {
    is_found("early-start", 2, &["one-activation-of-a-key-acts"]);
}

#[test]
fn a_reply_that_leaves_after_the_lease_is_found() {
    is_found("skipped-fence", 29, &["no-reply-leaves-after-the-lease"]);
}

#[test]
fn a_moved_that_is_taken_for_a_failure_is_found() {
    is_found("moved-fails", 1, &["what-is-planned-fails-no-call"]);
}

#[test]
fn a_call_that_has_run_and_is_made_again_is_found() {
    let by = ["an-error-tells-the-truth", "nothing-runs-twice"];
    is_found("ran-and-moved", 6, &by);
}

#[test]
fn a_renewal_that_asks_no_quorum_is_found() {
    is_found(
        "renewal-without-read",
        22,
        &["a-lease-that-has-ended-is-not-held"],
    );
}

#[test]
fn a_send_that_goes_along_twice_is_found() {
    is_found("forwarded-twice", 1, &["nothing-runs-twice"]);
}

#[test]
fn a_send_that_is_forgotten_when_its_slot_goes_is_found() {
    is_found("forgotten-send", 1, &["what-is-planned-loses-no-send"]);
}

/// In this world a call of seconds began just before the power of its caller failed: it held its key for longer
/// than a loss may, which is its author's will and none of the loss's doing.
#[test]
fn a_turn_of_the_storm_does_not_count_as_an_answer_that_a_loss_delays() {
    let run = sim(&["--seeds", "121..122"]);
    assert!(run.status.success(), "{}", text(&run));
}
