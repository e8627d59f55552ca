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
