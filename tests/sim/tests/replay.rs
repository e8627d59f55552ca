//! A seed gives the same world every time, and another seed gives another one.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_callboard-sim");
    Command::new(program)
        .args(arguments)
        .output()
        .expect("the simulator was built with this test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn chance_and_time_follow_from_the_seed() {
    let run = sim(&["--world", "chance", "--seeds", "0..6", "--check"]);
    assert!(
        run.status.success(),
        "{}{}",
        text(&run.stdout),
        text(&run.stderr)
    );
    assert!(
        text(&run.stdout).contains("0 failed, 6 run twice"),
        "{}",
        text(&run.stdout)
    );
}

#[test]
fn two_seeds_are_two_worlds() {
    let hash = |seed| {
        let run = sim(&["--world", "chance", "--child", "--seed", seed]);
        let outcome: serde_json::Value =
            serde_json::from_slice(&run.stdout).expect("the outcome is one line of JSON");
        outcome["trace_hash"].to_string()
    };
    assert_ne!(hash("1"), hash("2"));
}
