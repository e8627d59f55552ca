//! Runs the console blocks of the book and compares what they print with what the book shows.
//!
//! | fence | what happens |
//! | --- | --- |
//! | `console` | each command runs to its end |
//! | `console,terminal-1` | a process that goes on until `^C` or `^\`, and stands still from `^Z` to `fg`; a later block of the same terminal shows more of its output |
//! | `console,outside` | commands beside the repository, such as `cargo new`, with or without a terminal; an ignored test, as it builds all crates once more |
//! | `console,openssl` | as without the word, also with a terminal; left out where there is no OpenSSL 3 |
//! | `console,by-hand` | nothing: commands for a person, from a short list |
//!
//! In what is shown, `…` in a line stands for any text and a line of `…` for any lines. Addresses
//! of loopback are replaced by free ones. Of a command's output both streams are compared.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use callboard_tests::source::{read, root};

use super::markdown::{Page, pages, resolved};

/// Far above what any of the commands takes, so that only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first build of a reader's crate prints nothing until it ends.
const PATIENCE_WITH_A_BUILD: Duration = Duration::from_secs(900);

/// What a person may be told to run that no test runs.
const BY_HAND: &[&str] = &[
    "git clone ",
    "cd ",
    "cargo test",
    "cargo run --example cluster",
    "cargo run --package callboard-sim",
    "cargo run --release --bin ",
    "cargo install --path framework/cli",
    "cargo install mdbook",
    "mdbook serve book",
];

#[test]
fn commands_print_what_the_book_shows() {
    let mut problems = Vec::new();
    for page in pages() {
        if let Err(why) = Stage::new(false).play(&page) {
            problems.push(why);
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n\n"));
}

#[test]
#[ignore = "builds all crates once more; .ci/run runs it"]
fn a_crate_outside_of_the_workspace_is_written_as_the_book_shows() {
    let mut problems = Vec::new();
    for page in pages() {
        let stage = Stage::new(true);
        let played = link(&root(), &stage.folder.path().join("callboard"));
        if let Err(why) = played.and_then(|()| stage.play(&page)) {
            problems.push(why);
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n\n"));
}

#[test]
fn commands_that_nothing_replays_are_from_a_short_list() {
    for page in pages() {
        for fence in page.fences() {
            if fence.info.first().is_none_or(|word| word != "console") {
                continue;
            }
            let known = match fence.info.get(1).map(String::as_str) {
                None | Some("outside" | "openssl" | "by-hand") => true,
                Some(other) => other.starts_with("terminal-"),
            };
            assert!(known, "{}:{}: {:?}", page.path, fence.line, fence.info);
            if fence.info.get(1).is_some_and(|word| word == "by-hand") {
                for line in fence.body.lines() {
                    let command = line.strip_prefix("$ ").unwrap_or("");
                    let listed = BY_HAND.iter().any(|start| command.starts_with(start));
                    assert!(listed, "{}:{}: {line}", page.path, fence.line);
                }
            }
        }
    }
}

/// A folder of its own, and the terminals of one page.
struct Stage {
    folder: tempfile::TempDir,
    /// Where commands run; below the folder.
    here: PathBuf,
    /// Whether cargo itself runs, in crates of the reader.
    outside: bool,
    ports: BTreeMap<String, String>,
    terminals: BTreeMap<String, Running>,
}

/// A process and what it prints.
struct Running {
    child: Child,
    lines: Receiver<String>,
    patience: Duration,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stage {
    fn new(outside: bool) -> Self {
        let folder = tempfile::tempdir().expect("made");
        Self {
            here: folder.path().to_path_buf(),
            folder,
            outside,
            ports: BTreeMap::new(),
            terminals: BTreeMap::new(),
        }
    }

    fn play(mut self, page: &Page) -> Result<(), String> {
        let mut files = if self.outside {
            files_to_write(page)
        } else {
            Vec::new()
        };
        for fence in page.fences() {
            let info: Vec<&str> = fence.info.iter().map(String::as_str).collect();
            let kind = match (self.outside, &info[..]) {
                (true, ["console", "outside", kind @ ..]) => kind,
                (false, ["console", "outside" | "by-hand", ..]) => continue,
                (false, ["console", "openssl", kind @ ..]) if has_openssl() => kind,
                (false, ["console", "openssl", ..]) => continue,
                (false, ["console", kind @ ..]) => kind,
                _ => continue,
            };
            let written = files.partition_point(|file| file.0 < fence.line);
            for (_, path, text) in files.drain(..written) {
                std::fs::write(self.folder.path().join(&path), text)
                    .map_err(|error| format!("{path}: {error}"))?;
            }
            let body = self.with_free_ports(&fence.body);
            match kind {
                [] => self.run_all(&body),
                [terminal, ..] => self.go_on(terminal, &body),
            }
            .map_err(|why| format!("{}:{}: {why}", page.path, fence.line))?;
        }
        Ok(())
    }

    /// Runs each command to its end and compares all that it printed.
    fn run_all(&mut self, body: &str) -> Result<(), String> {
        let mut lines = body.lines().peekable();
        while let Some(line) = lines.next() {
            let command = line.strip_prefix("$ ").ok_or("a block begins with `$ `")?;
            let mut shown = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
                shown.push(line);
            }
            if let (true, Some(folder)) = (self.outside, command.strip_prefix("cd ")) {
                self.here.push(folder);
                continue;
            }
            let mut running = self.start(command)?;
            let mut printed = Vec::new();
            while let Some(line) = running.next_line()? {
                printed.push(line);
            }
            let status = running.child.wait().map_err(|error| error.to_string())?;
            if command.starts_with(OPENSSL) && !status.success() {
                return Err(format!("`{command}`: {status}\n{}", printed.join("\n")));
            }
            if !matches_all(&shown, &printed) {
                return Err(format!(
                    "`{command}` printed\n{}\nand the book shows\n{}",
                    printed.join("\n"),
                    shown.join("\n")
                ));
            }
        }
        Ok(())
    }

    /// Goes on with a terminal: starts what is to be started and waits for the lines shown.
    fn go_on(&mut self, terminal: &str, body: &str) -> Result<(), String> {
        let mut skip = false;
        let mut interrupted = false;
        for line in body.lines() {
            if let Some(command) = line.strip_prefix("$ ").filter(|it| *it != "fg") {
                let running = self.start(command)?;
                self.terminals.insert(terminal.to_owned(), running);
                continue;
            }
            let running = self.terminals.get_mut(terminal);
            let running = running.ok_or_else(|| format!("nothing runs on {terminal}"))?;
            match line {
                "^C" => {
                    signal(&running.child, "INT")?;
                    interrupted = true;
                }
                "^Z" => signal(&running.child, "STOP")?,
                "$ fg" => signal(&running.child, "CONT")?,
                "^\\" => {
                    // Not by SIGQUIT: a test that a script has started beside others ignores it, as
                    // POSIX has it for such jobs, and so would what the test starts.
                    running.child.kill().map_err(|error| error.to_string())?;
                    interrupted = true;
                }
                "…" => skip = true,
                shown => {
                    running.await_line(shown, skip)?;
                    skip = false;
                }
            }
        }
        let running = self.terminals.get_mut(terminal);
        if let (true, Some(running)) = (interrupted, running) {
            while running.next_line()?.is_some() {}
        }
        Ok(())
    }

    fn start(&self, command: &str) -> Result<Running, String> {
        let mut running = if self.outside {
            start(self.cargo(command))?
        } else {
            start(self.example(command)?)?
        };
        if self.outside {
            running.patience = PATIENCE_WITH_A_BUILD;
        }
        Ok(running)
    }

    /// Returns a command for a crate of the reader.
    fn cargo(&self, command: &str) -> Command {
        let words = words(command);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(&self.here)
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("CARGO_TARGET_DIR", target().join("outside"))
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("RUST_BACKTRACE")
            .env_remove("RUST_LOG");
        command
    }

    /// Returns the command of `cargo run --example NAME -- ARGUMENTS` on the built example, that of
    /// `callboard ARGUMENTS` on the built command, or an `openssl` command as it is.
    fn example(&self, command: &str) -> Result<Command, String> {
        let words = words(command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let ["openssl", arguments @ ..] = &words[..] {
            let mut command = Command::new("openssl");
            command.args(arguments).current_dir(self.folder.path());
            return Ok(command);
        }
        let (program, arguments) = match &words[..] {
            ["callboard", arguments @ ..] => (built("callboard"), arguments),
            ["cargo", "run", "--example", name, arguments @ ..] => {
                let arguments = arguments.strip_prefix(&["--"]).unwrap_or(arguments);
                (built(&format!("examples/{name}")), arguments)
            }
            _ => return Err(format!("it is none of what is replayed: {command}")),
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("HOME", self.folder.path())
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env_remove("RUST_BACKTRACE")
            .env_remove("RUST_LOG");
        Ok(command)
    }

    /// Replaces the loopback addresses that the book shows by free ones, the same for a page.
    fn with_free_ports(&mut self, text: &str) -> String {
        let mut replaced = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(LOOPBACK) {
            let from = at + LOOPBACK.len();
            let digits = rest[from..].bytes().take_while(u8::is_ascii_digit).count();
            let port = &rest[from..from + digits];
            replaced.push_str(&rest[..from]);
            if digits > 1 {
                let free = self.ports.entry(port.to_owned()).or_insert_with(free_port);
                replaced.push_str(free);
            } else {
                replaced.push_str(port);
            }
            rest = &rest[from + digits..];
        }
        replaced + rest
    }
}

impl Running {
    /// Returns the next line; nothing at the end of the output.
    fn next_line(&mut self) -> Result<Option<String>, String> {
        match self.lines.recv_timeout(self.patience) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err("it printed nothing and did not end".to_owned()),
        }
    }

    fn await_line(&mut self, shown: &str, skip: bool) -> Result<(), String> {
        let until = Instant::now() + self.patience;
        while Instant::now() < until {
            let line = self.next_line()?;
            let line = line.ok_or_else(|| format!("it ended before it printed `{shown}`"))?;
            if matches_line(shown, &line) {
                return Ok(());
            }
            if !skip {
                return Err(format!("it printed `{line}` and the book shows `{shown}`"));
            }
        }
        Err(format!("it did not print `{shown}`"))
    }
}

/// Returns what `<!-- file: PATH = INCLUDED -->` asks for: its line, the path, the text.
fn files_to_write(page: &Page) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    for (at, line) in page.text.lines().enumerate() {
        let Some(rest) = line.strip_prefix("<!-- file: ") else {
            continue;
        };
        let (path, from) = rest
            .trim_end_matches(" -->")
            .split_once(" = ")
            .expect("a path and where its text comes from");
        let text = read(&resolved(&page.path, from));
        found.push((at + 1, path.to_owned(), text));
    }
    found
}

fn start(mut command: Command) -> Result<Running, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let (sender, lines) = channel();
    pass_on(child.stdout.take(), sender.clone());
    pass_on(child.stderr.take(), sender);
    Ok(Running {
        child,
        lines,
        patience: PATIENCE,
    })
}

fn pass_on(stream: Option<impl std::io::Read + Send + 'static>, to: Sender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                return;
            }
        }
    });
}

/// Whether the machine has an OpenSSL whose commands are those of the book.
fn has_openssl() -> bool {
    let version = Command::new("openssl").arg("version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let major = version.ok().and_then(|version| {
        let number = version.strip_prefix("OpenSSL ")?.split('.').next()?;
        number.parse::<u32>().ok()
    });
    major.is_some_and(|major| major >= 3)
}

/// Whether the lines printed are those shown.
fn matches_all(shown: &[&str], printed: &[String]) -> bool {
    match (shown.split_first(), printed.split_first()) {
        (None, None) => true,
        (Some((&"…", rest)), first) => {
            matches_all(rest, printed)
                || first.is_some_and(|(_, printed)| matches_all(shown, printed))
        }
        (Some((line, shown)), Some((first, printed))) => {
            matches_line(line, first) && matches_all(shown, printed)
        }
        _ => false,
    }
}

/// Whether a line is the one shown, in which `…` stands for any text.
fn matches_line(shown: &str, line: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut open = false;
    for part in parts {
        open = true;
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || (open && shown.ends_with('…'))
}

/// Splits a command at spaces outside of double quotes.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in command.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Returns the executable of an example, or of the command. `cargo test` of the workspace has built
/// it; a run of this package alone may find an older one.
fn built(name: &str) -> PathBuf {
    let path = target().join("debug").join(name);
    if !path.exists() {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let status = Command::new(cargo)
            .args(["build", "--workspace", "--examples", "--bins", "--quiet"])
            .current_dir(root())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{name}");
    }
    path
}

/// Returns the target folder that this test was built into.
fn target() -> PathBuf {
    let this = std::env::current_exe().expect("known");
    let target = this.ancestors().nth(3).expect("target/debug/deps/it");
    target.to_path_buf()
}

fn signal(child: &Child, name: &str) -> Result<(), String> {
    let status = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("kill: {other:?}")),
    }
}

#[cfg(unix)]
fn link(from: &Path, to: &Path) -> Result<(), String> {
    std::os::unix::fs::symlink(from, to).map_err(|error| error.to_string())
}

#[cfg(not(unix))]
fn link(from: &Path, to: &Path) -> Result<(), String> {
    Err(format!("no links: {} to {}", from.display(), to.display()))
}

fn free_port() -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("bound").port().to_string()
}

const OPENSSL: &str = "openssl ";
const LOOPBACK: &str = "127.0.0.1:";

#[test]
fn dots_stand_for_any_text_and_any_lines() {
    assert!(matches_line(
        "n1 listens on …",
        "n1 listens on 127.0.0.1:4001"
    ));
    assert!(matches_line("a … c", "a b c") && !matches_line("a … c", "a b"));
    assert!(!matches_line("count: 1", "count: 12"));
    let printed = ["one", "two", "three"].map(str::to_owned);
    assert!(matches_all(&["one", "…", "three"], &printed));
    assert!(!matches_all(&["one", "three"], &printed));
    assert_eq!(words("a  --b \"c d\" \"\""), ["a", "--b", "c d", ""]);
}
