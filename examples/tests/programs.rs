//! The smaller examples as somebody runs them: each to its end, with the lines that the book quotes.
//!
//! They share a development authority that is made for the test, not that of whoever runs it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[test]
fn greeter_says_hello() {
    let state = state();
    assert_eq!(output(&state, "greeter", &[]), "Hello, Ada!\n");
}

#[test]
fn every_example_answers_help_and_refuses_what_it_does_not_know() {
    let state = state();
    for name in ["greeter", "supervision", "chat", "files", "node", "cluster"] {
        let help = command(&state, name).arg("--help").output();
        let help = help.expect("it can be started");
        let said = String::from_utf8_lossy(&help.stdout);
        assert!(help.status.success(), "{name}: {}", help.status);
        assert!(said.contains("Usage: "), "{name}: {said}");
        let unknown = command(&state, name).arg("--nonsense").output();
        let unknown = unknown.expect("it can be started");
        let said = String::from_utf8_lossy(&unknown.stderr);
        assert_eq!(unknown.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains("'--nonsense'"), "{name}: {said}");
        assert!(said.contains("--help"), "{name}: {said}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_with_what_to_do() {
    let state = state();
    let said = |command: &mut Command| {
        let output = command.output().expect("it can be started");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (name, flag) in [("node", "--listen"), ("node", "--join"), ("chat", "--join")] {
        let said = said(command(&state, name).args([flag, "localhost:4001"]));
        assert!(said.contains("such as 127.0.0.1:4001"), "{name}: {said}");
    }
    let mut homeless = command(&state, "greeter");
    let said = said(homeless.env_remove("XDG_STATE_HOME").env_remove("HOME"));
    assert!(said.contains("; set one of them to a folder"), "{said}");
}

#[test]
fn a_visit_that_fails_is_told_without_colours_and_fails_the_program() {
    let state = state();
    let mut alone = Terminal::open(&state, &["--name", "n1"]);
    let addr = alone.read_until("n1 listens on ");
    let mut visit = command(&state, "node");
    let visit = visit.args(["--visit", "Ada", "--join", &addr]).output();
    let visit = visit.expect("it can be started");
    let (said, errors) = (
        String::from_utf8_lossy(&visit.stdout),
        String::from_utf8_lossy(&visit.stderr),
    );
    assert!(said.contains("Ada: CB1027 keyed-elsewhere"), "{said}");
    assert_eq!(visit.status.code(), Some(1), "{said}{errors}");
    assert!(errors.contains("1 of 1 visits failed"), "{errors}");

    // A seed that does not answer is a warning in the log.
    let warned = command(&state, "node")
        .args(["--name", "n2", "--join", "127.0.0.1:1"])
        .stderr(Stdio::piped())
        .spawn();
    let mut warned = warned.expect("it can be started");
    let log = warned.stderr.take().expect("it is piped");
    let told = BufReader::new(log).lines().map_while(Result::ok);
    let told = told.filter(|line| line.contains("WARN")).take(1).last();
    // Nothing is left of a test that failed.
    let _ = warned.kill();
    let _ = warned.wait();
    let told = told.expect("it warns of its seed");
    assert!(!told.contains('\u{1b}'), "{told:?}");
    alone.signal(Signal::INT);
    assert!(alone.node.wait().expect("it can be waited for").success());
}

#[test]
fn supervision_breaks_restarts_and_gives_up() {
    let state = state();
    let said = output(&state, "supervision", &[]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..2], ["add: 1", "add: 2"]);
    assert!(lines[2].starts_with("break it: CB1016 panicked"), "{said}");
    assert_eq!(lines[3], "add, which had waited: 1; the count began again");
    assert!(said.contains("CB1021 quarantined"), "{said}");
    assert_eq!(lines.last(), Some(&"after 4 panics the watch says: failed"));
}

#[test]
fn chat_carries_every_line_to_every_guest() {
    let state = state();
    let said = output(&state, "chat", &[]);
    for guest in ["  Ada", "  Bob", " Cleo"] {
        for line in [
            "Ada: is the engine ready?",
            "Bob: nearly;",
            "Cleo: I have brought it",
        ] {
            let heard = format!("[{guest} hears] {line}");
            assert!(said.contains(&heard), "not `{heard}` in\n{said}");
        }
    }
}

#[test]
fn a_second_interrupt_closes_the_hall_though_guests_are_in_it() {
    let state = state();
    let mut hall = Terminal::of(&state, "chat", &["--listen", "127.0.0.1:0"]);
    let open = hall.read_until("the hall is open at ");
    let addr = open.split(';').next().expect("an address");
    let mut guest = Terminal::of(&state, "chat", &["--join", addr, "--name", "Ada"]);
    guest.read_until("[  Ada hears] Ada: (comes in)");
    hall.signal(Signal::INT);
    hall.read_until("closing");
    let before = Instant::now();
    hall.signal(Signal::INT);
    let ended = hall.node.wait().expect("it can be waited for");
    assert_eq!(ended.code(), Some(130));
    assert!(
        before.elapsed() < Duration::from_secs(5),
        "the grace is 10 s"
    );
}

#[test]
fn files_come_back_as_they_were_sent() {
    let state = state();
    let said = output(&state, "files", &["--mib", "4"]);
    assert!(said.contains("the same came back: true"), "{said}");
    assert_eq!(said.matches("100%").count(), 2, "{said}");
}

#[test]
fn nodes_on_two_terminals_find_each_other_and_answer_a_client_on_a_third() {
    let state = state();
    let mut first = Terminal::open(&state, &["--name", "n1"]);
    let addr = first.read_until("n1 listens on ");
    let mut second = Terminal::open(&state, &["--name", "n2", "--join", &addr]);
    second.read_until("n1 joined");
    first.read_until("n2 joined");

    let said = output(
        &state,
        "node",
        &["--call", "Ada", "--times", "20", "--join", &addr],
    );
    assert_eq!(said.matches("Hello, Ada! This is n").count(), 20, "{said}");

    second.signal(Signal::TERM);
    second.read_until("draining");
    second.read_until("stopping");
    first.read_until("n2 left");
    first.signal(Signal::INT);
    for mut terminal in [first, second] {
        assert!(
            terminal
                .node
                .wait()
                .expect("it can be waited for")
                .success()
        );
    }
}

/// A node on a terminal of its own.
struct Terminal {
    node: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Terminal {
    fn open(state: &TempDir, arguments: &[&str]) -> Self {
        Self::of(state, "node", arguments)
    }

    fn of(state: &TempDir, example: &str, arguments: &[&str]) -> Self {
        let mut command = command(state, example);
        // What is typed does not end as long as it is there.
        command.args(arguments).stdin(Stdio::piped());
        let mut node = command.spawn().expect("it can be started");
        let stdout = node.stdout.take().expect("it is piped");
        Self {
            node,
            lines: BufReader::new(stdout).lines(),
        }
    }

    /// Reads until a line that begins so, and returns the rest of it.
    fn read_until(&mut self, beginning: &str) -> String {
        for line in self.lines.by_ref() {
            let line = line.expect("UTF-8");
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
        panic!("the node ended and never said `{beginning}`");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.node), signal).expect("it runs");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Nothing is left of a test that failed.
        let _ = self.node.kill();
    }
}

/// Runs an example to its end and returns what it wrote.
fn output(state: &TempDir, example: &str, arguments: &[&str]) -> String {
    let output = command(state, example)
        .args(arguments)
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{example}: {}\n{said}{errors}",
        output.status
    );
    said
}

fn command(state: &TempDir, example: &str) -> Command {
    let mut command = Command::new(executable(example));
    command.env("XDG_STATE_HOME", state.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

fn state() -> TempDir {
    tempfile::tempdir().expect("there is room for a key")
}

/// The example, which cargo builds with the tests of its package, next to them.
fn executable(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/PROFILE/deps/TEST");
    let example = profile.join("examples").join(example);
    assert!(
        example.exists(),
        "first run: cargo build -p callboard-examples --examples"
    );
    example
}
