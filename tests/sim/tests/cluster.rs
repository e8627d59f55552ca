//! A few worlds in which nodes form a cluster hold all promises, and a planted bug is found.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_callboard-sim");
    Command::new(program)
        .args(["--world", "cluster"])
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
fn ten_clusters_hold_all_promises() {
    let run = sim(&["--seeds", "0..10"]);
    assert!(run.status.success(), "{}", text(&run));
}

/// In this world an answer that let a node in was lost, and the lease of that life ended unheard of.
#[test]
fn a_life_that_ended_before_it_was_known_is_followed_by_another() {
    let run = sim(&["--seeds", "79..80"]);
    assert!(run.status.success(), "{}", text(&run));
}

#[test]
fn a_cluster_replays_bit_for_bit() {
    let run = sim(&["--seeds", "10..12", "--check"]);
    assert!(run.status.success(), "{}", text(&run));
    assert!(text(&run).contains("2 run twice"), "{}", text(&run));
}

#[test]
fn an_entry_that_is_acknowledged_before_it_is_synced_is_found() {
    let run = sim(&["--bug", "unsynced-ack", "--seeds", "23..47"]);
    assert!(run.status.success(), "not found\n{}", text(&run));
    let found = text(&run).contains("what-is-committed-stays");
    assert!(found, "found by another promise\n{}", text(&run));
}
