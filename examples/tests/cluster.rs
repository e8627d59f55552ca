//! The `cluster` example as somebody runs it: real processes, real signals, its output and what it
//! leaves behind, which is nothing.
//!
//! It waits for lines and for the ends of processes, never for a time. Linux only: it waits for
//! processes that are not its own children through their pidfds.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::Value;

#[test]
fn a_run_with_a_kill_and_a_restart_counts_every_call_once() {
    let output = cluster(&[
        "--for",
        "3s",
        "--rate",
        "200",
        "--script",
        "kill n3@500ms; restart n3@1s",
        "--json",
        "--assert",
        "calls_failed==0 && calls_ok>=500 && answered_n3>0",
    ]);
    let events = events(&output);
    let summary = events.last().expect("there is output");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(summary["event"], "summary");
    for kind in ["calls", "actor_calls", "keyed_calls"] {
        let count = |name: &str| summary[format!("{kind}_{name}")].as_u64().expect("a count");
        assert_eq!(
            count("issued"),
            count("ok") + count("failed") + count("refused"),
            "{kind}"
        );
        assert!(count("ok") > 0, "{kind}: {summary}");
    }
    assert_eq!(summary["steps_done"], 2);
    assert_eq!(summary["calls_hung"], 0);
    assert_nothing_left(&events);
}

#[test]
fn a_false_assertion_is_exit_code_1_and_says_what_is_untrue() {
    let output = cluster(&[
        "--for",
        "300ms",
        "--rate",
        "100",
        "--script",
        "",
        "--assert",
        "calls_ok==0",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("not true: calls_ok==0 (calls_ok is "),
        "{}",
        text(&output)
    );
}

#[test]
fn a_step_that_does_not_fit_is_reported_and_fails_the_run() {
    let output = cluster(&[
        "--for",
        "400ms",
        "--rate",
        "100",
        "--script",
        "kill n3@1ms; pause n3@300ms",
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("FAILED: pause n3@300ms: the node is down"),
        "{}",
        text(&output)
    );
    assert!(
        text(&output).contains("1 of 2 steps carried out"),
        "{}",
        text(&output)
    );
}

#[test]
fn carts_of_a_killed_owner_answer_again_elsewhere_and_one_at_a_time() {
    let output = cluster(&[
        "--for",
        "6s",
        "--rate",
        "400",
        "--profile",
        "fast",
        "--script",
        "kill owner@1s; restart@4s; add@4500ms",
        "--json",
        "--assert",
        "overlapping_turns==0 && epoch_regressions==0 && keys_unanswered==0 && recovered_slots>0 \
         && keyed_calls_failed==0 && turns>=keyed_calls_ok && outage_ms.max>0 && answered_n4>0",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let events = events(&output);
    assert!(
        events.iter().any(|event| event["event"] == "recovered"),
        "{}",
        text(&output)
    );
    assert_nothing_left(&events);
}

#[test]
fn a_node_that_is_cut_off_loses_its_carts_and_no_two_turns_of_one_overlap() {
    let output = cluster(&[
        "--for",
        "6s",
        "--rate",
        "400",
        "--profile",
        "fast",
        "--script",
        "partition owner@1s for 3s",
        "--assert",
        "overlapping_turns==0 && epoch_regressions==0 && keys_unanswered==0 && recovered_slots>0",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[test]
fn a_node_that_drains_fails_no_call_and_its_carts_move() {
    let output = cluster(&[
        "--for",
        "15s",
        "--rate",
        "400",
        "--script",
        "drain n2@1s",
        "--assert",
        "failed_during_drain==0 && moved_slots>0 && carts_emptied==0 && recovered_slots==0 && overlapping_turns==0 \
         && epoch_regressions==0 && keys_unanswered==0 && steps_failed==0",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// The owner of a key and the leader stand still, for less than a lease and for longer, one after the other and
/// together; whoever is elected meanwhile is another one. Of five nodes three vote, whichever they are.
#[test]
fn owners_and_leaders_that_stand_still_for_one_three_and_ten_seconds_never_act_twice() {
    let output = cluster(&[
        "--nodes",
        "5",
        "--for",
        "42s",
        "--rate",
        "300",
        "--script",
        "pause owner@2s for 1s; pause leader@4s for 1s; pause owner@6s for 3s; pause leader@12s for 3s; \
         pause owner@18s for 10s; pause leader@22s for 10s",
        "--assert",
        "overlapping_turns==0 && epoch_regressions==0 && keys_unanswered==0 && steps_failed==0 && calls_hung==0",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

/// A process that stood still for longer than a lease goes on with what waits in its mailbox, until it hears that the slot
/// has gone. There is always something: the one cart gets more calls than it can answer, which keeps its new owner at work
/// as well. How much of it runs before the news is a matter of the machine, so that it is tried three times.
#[test]
fn turns_that_start_without_a_lease_are_found_in_the_traces() {
    let paused_for_longer_than_its_lease = [
        "--for",
        "10s",
        "--rate",
        "1000",
        "--shoppers",
        "1",
        "--reprice-every",
        "1",
        "--profile",
        "fast",
        "--script",
        "pause owner@1s for 2s; pause owner@4s for 2s; pause owner@7s for 2s",
        "--assert",
        "overlapping_turns==0 && epoch_regressions==0",
    ];
    let output = cluster(&paused_for_longer_than_its_lease);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let planted = [
        &paused_for_longer_than_its_lease[..],
        &["--plant", "early-start"],
    ]
    .concat();
    let output = cluster(&planted);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for found in ["overlapping_turns==0 (", "epoch_regressions==0 ("] {
        let untrue = format!("not true: {found}");
        assert!(text(&output).contains(&untrue), "{}", text(&output));
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2_and_starts_nothing() {
    for (arguments, part) in [
        (["--script", "kill n3 at 5s"], "kill TARGET@TIME"),
        (["--script", "kill n4@5s"], "there is no node `n4`"),
        (["--script", "kill n3@1m"], "would not be reached"),
        (
            ["--assert", "calls_fialed==0"],
            "there is no field `calls_fialed`",
        ),
        (["--assert", "calls_ok=0"], "write =="),
        (["--assert", "answered_n4>0"], "answered_n3"),
        (["--for", "20"], "has no unit"),
        (["--nodes", "0"], "1..=32"),
    ] {
        let output = cluster(&arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&output)
        );
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(
            text(&output).contains(part),
            "{arguments:?}: {}",
            text(&output)
        );
    }
}

#[test]
fn an_interrupted_run_cleans_up_and_still_sums_up() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut run = Run::start(&["--for", "1m", "--rate", "100", "--script", "pause n2@100ms"]);
        run.read_until("step");
        run.send(signal);
        let status = run.end();
        assert_eq!(status.code(), Some(code));
        assert_eq!(
            run.events.last().map(|event| &event["event"]),
            Some(&"summary".into())
        );
        assert_nothing_left(&run.events);
    }
}

#[test]
fn nodes_end_with_a_killed_driver_paused_ones_too() {
    let mut run = Run::start(&["--for", "1m", "--rate", "100", "--script", "pause n2@100ms"]);
    run.read_until("step");
    run.send(Signal::KILL);
    run.end();
    assert_nothing_left(&run.events);
}

/// A cluster whose output is read as it comes.
struct Run {
    driver: Child,
    lines: Lines<BufReader<ChildStdout>>,
    events: Vec<Value>,
}

impl Run {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(executable());
        command
            .args(arguments)
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut driver = command.spawn().expect("the example can be started");
        let stdout = driver.stdout.take().expect("it is piped");
        Self {
            driver,
            lines: BufReader::new(stdout).lines(),
            events: Vec::new(),
        }
    }

    /// Reads events up to and with the first of that name.
    fn read_until(&mut self, name: &str) {
        for line in self.lines.by_ref() {
            let event: Value = serde_json::from_str(&line.expect("UTF-8")).expect("JSON");
            let found = event["event"] == name;
            self.events.push(event);
            if found {
                return;
            }
        }
        panic!("no `{name}` in {:?}", self.events);
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.driver), signal).expect("the driver runs");
    }

    /// Reads what is left and waits for the driver.
    fn end(&mut self) -> ExitStatus {
        for line in self.lines.by_ref().map_while(Result::ok) {
            // The last line of a killed driver may be cut.
            self.events.extend(serde_json::from_str(&line));
        }
        self.driver.wait().expect("it can be waited for")
    }
}

/// Runs the example to its end.
fn cluster(arguments: &[&str]) -> Output {
    Command::new(executable())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the example can be started")
}

/// The example, which cargo builds with the tests of its package, next to them.
fn executable() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST");
    let example = profile.join("examples/cluster");
    assert!(
        example.exists(),
        "first run: cargo build -p callboard-examples --examples"
    );
    example
}

fn events(output: &Output) -> Vec<Value> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// No process and no directory of a run is left once its nodes have had time to notice.
fn assert_nothing_left(events: &[Value]) {
    for event in events.iter().filter(|event| event["event"] == "up") {
        let pid = event["pid"]
            .as_i64()
            .and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).expect("a process number");
        assert!(ends(pid), "{event} is still there");
    }
    let directory = events[0]["directory"]
        .as_str()
        .expect("the first event names it");
    assert!(!Path::new(directory).exists(), "{directory} is still there");
}

/// Waits until a process has ended; false when it has not for a long time.
fn ends(pid: Pid) -> bool {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return true;
    };
    let mut waited_for = [PollFd::new(&process, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: 20,
        tv_nsec: 0,
    };
    poll(&mut waited_for, Some(&limit)).expect("a pidfd can be waited for") == 1
}
