//! The rules that the compiler does not know, as tests over the text of the sources: who may depend
//! on whom, which module names which crate, how long a file and a function may be.
//!
//! A rule that is wrong is changed here, in the commit that needs it changed, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use callboard_tests::source::{Source, block_of_braces, files, masked, read, sources, words};

/// The modules of `callboard` from the bottom up, each with those it may name. What is not listed
/// with a module is above it, or is not its business.
const RUNTIME_LAYERS: &[(&str, &[&str])] = &[
    ("task", &[]),
    ("env", &["task"]),
    ("telemetry", &[]),
    ("derived", &[]),
    ("ending", &["task"]),
    ("actor", &["task"]),
    ("net", &["env", "task"]),
    ("data_dir", &["env", "net"]),
    ("control", &["env"]),
    (
        "cluster",
        &["env", "task", "telemetry", "net", "data_dir", "control"],
    ),
    ("fuzzing", &["net", "control", "data_dir"]),
    ("danger", &["env", "net", "data_dir", "control", "cluster"]),
    (
        "call",
        &["env", "task", "telemetry", "actor", "net", "cluster"],
    ),
    (
        "service",
        &["env", "task", "telemetry", "actor", "cluster", "call"],
    ),
    ("admin", &["actor", "net", "cluster", "call", "service"]),
    (
        "settings",
        &["env", "task", "net", "data_dir", "cluster", "call"],
    ),
    ("usage", &["telemetry", "net", "call"]),
    (
        "node",
        &[
            "env",
            "task",
            "telemetry",
            "actor",
            "net",
            "data_dir",
            "control",
            "cluster",
            "call",
            "service",
            "admin",
            "settings",
            "usage",
            "ending",
        ],
    ),
    (
        "client",
        &[
            "env", "task", "net", "cluster", "call", "service", "admin", "settings", "usage",
            "ending", "node",
        ],
    ),
    ("guess", &["net", "call", "service", "node", "client"]),
];

/// The modules of `callboard-protocol`.
const PROTOCOL_LAYERS: &[(&str, &[&str])] = &[
    ("id", &[]),
    ("time", &[]),
    ("plant", &[]),
    ("code", &[]),
    ("schedule", &["time"]),
    ("supervision", &["time"]),
    ("policy", &["time", "code"]),
    ("rights", &["id"]),
    ("wire", &["id", "code"]),
    ("membership", &["id", "time", "plant"]),
    ("naming", &["id", "time"]),
    ("spawning", &["id", "time"]),
    ("slots", &["id", "time", "plant", "membership", "wire"]),
    ("placement", &["id", "slots"]),
    ("cluster", &["id", "membership", "slots", "wire"]),
];

/// The modules of `callboard-macros`: parse, model, check, expand, in the order of the work.
const MACROS_LAYERS: &[(&str, &[&str])] = &[
    ("code", &[]),
    ("problem", &["code"]),
    ("model", &[]),
    ("parse", &["code", "problem", "model"]),
    ("check", &["code", "problem", "model"]),
    ("expand", &["code", "problem", "model", "check"]),
    (
        "run",
        &["code", "problem", "model", "parse", "check", "expand"],
    ),
];

/// Foreign crates, and the only places in the product that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("ractor", &["framework/runtime/src/actor/"]),
    ("quinn", &["framework/runtime/src/net/"]),
    ("quinn_proto", &["framework/runtime/src/net/"]),
    ("rustls", &["framework/runtime/src/net/"]),
    ("rcgen", &["framework/runtime/src/net/"]),
    ("ring", &["framework/runtime/src/net/"]),
    ("webpki", &["framework/runtime/src/net/"]),
    ("quinn_udp", &["framework/runtime/src/env/real/"]),
    ("getrandom", &["framework/runtime/src/env/real/"]),
    (
        "rustix",
        &["framework/runtime/src/env/real/", "examples/cluster/"],
    ),
    ("prometheus_client", &["framework/runtime/src/telemetry/"]),
    ("raft", &["framework/runtime/src/control/"]),
    ("slog", &["framework/runtime/src/control/"]),
    ("postcard", &["framework/protocol/src/wire/codec.rs"]),
    (
        "xxhash_rust",
        &[
            "framework/protocol/src/id.rs",
            "framework/protocol/src/cluster/",
            "framework/protocol/src/wire/shape.rs",
            "framework/protocol/src/slots/",
            "framework/protocol/src/placement/",
            "framework/runtime/src/control/",
        ],
    ),
];

/// What would make a decision depend on more than its inputs.
const IMPURE: &[&str] = &[
    "async",
    "tokio",
    "spawn",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "Instant",
    "SystemTime::now",
    "std::thread",
    "std::fs",
    "rand",
    "getrandom",
    "thread_local",
    "static mut",
    "OnceLock",
    "LazyLock",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

const PRODUCT: &[&str] = &["framework", "macros", "examples"];

#[test]
fn modules_of_the_runtime_depend_downwards_only() {
    check_layers("framework/runtime/src/", RUNTIME_LAYERS);
}

#[test]
fn modules_of_the_protocol_depend_downwards_only() {
    check_layers("framework/protocol/src/", PROTOCOL_LAYERS);
}

#[test]
fn the_macros_go_from_parse_to_expand() {
    check_layers("macros/src/", MACROS_LAYERS);
}

#[test]
fn the_protocol_is_pure() {
    let mut problems = Vec::new();
    for source in sources("framework/protocol/src") {
        for (number, line) in numbered(&source) {
            for impure in IMPURE {
                if contains_word(line, impure) && !is_allowed(&source.path, impure) {
                    problems.push(format!("{}:{number}: `{impure}`", source.path));
                }
            }
        }
    }
    none(&problems, "decisions get time and chance as arguments");
}

#[test]
fn each_foreign_crate_is_named_in_one_module() {
    let mut problems = Vec::new();
    for source in product() {
        for (name, homes) in HOMES {
            if homes.iter().any(|home| source.path.starts_with(home)) {
                continue;
            }
            for (number, line) in numbered(&source) {
                let named =
                    line.contains(&format!("{name}::")) || line.contains(&format!("use {name}"));
                if named && contains_word(line, name) {
                    problems.push(format!("{}:{number}: `{name}`", source.path));
                }
            }
        }
    }
    none(&problems, "its home is in the table `HOMES`");
}

#[test]
fn only_one_file_spawns() {
    let mut problems = Vec::new();
    for source in sources("framework/runtime/src") {
        if source.path.ends_with("/src/task.rs") {
            continue;
        }
        let spawns = [
            "tokio::spawn",
            "task::spawn",
            "thread::spawn",
            "spawn_blocking(",
            "spawn_local",
        ];
        for (number, line) in numbered(&source) {
            if spawns.iter().any(|spawn| line.contains(spawn)) && !line.contains("crate::task::") {
                problems.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    none(&problems, "tasks are spawned through `task.rs`");
}

#[test]
fn files_fit_their_limit() {
    let mut problems = Vec::new();
    for source in product() {
        let lines = source.code.trim_end().lines().count();
        if lines > FILE_LINES_MAX {
            problems.push(format!("{}: {lines} lines without tests", source.path));
        }
    }
    none(&problems, "one file, one main type");
}

#[test]
fn functions_fit_their_limit() {
    let mut problems = Vec::new();
    for source in product() {
        for (name, line, lines) in functions(&source.code) {
            if lines > FUNCTION_LINES_MAX {
                problems.push(format!(
                    "{}:{line}: `{name}` has {lines} lines",
                    source.path
                ));
            }
        }
    }
    none(&problems, "a function fits on a screen");
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut problems = Vec::new();
    for folder in [
        "framework",
        "macros",
        "examples",
        "tests/it",
        "tests/sim",
        "tests/src",
        "tests/tidy",
    ] {
        for path in files(folder, ".rs") {
            let text = read(&path);
            let first = text.lines().find(|line| !line.starts_with("#!["));
            if path.ends_with("/tests.rs") {
                // The tests of the file beside it.
                continue;
            }
            if path == "examples/greeter.rs" {
                // Included by `smallest/main.rs`, which says it; `//!` cannot stand there.
                continue;
            }
            if !first.is_some_and(|line| line.starts_with("//! ")) {
                problems.push(path);
            }
        }
    }
    none(&problems, "a module opens with `//!`");
}

#[test]
fn nothing_is_unwrapped_outside_of_tests() {
    let mut problems = Vec::new();
    for source in product() {
        for (number, line) in numbered(&source) {
            if line.contains(".unwrap()") || contains_word(line, "unwrap_unchecked") {
                problems.push(format!("{}:{number}", source.path));
            }
        }
    }
    none(&problems, "`expect(\"why this cannot fail\")`, or an error");
}

#[test]
fn nothing_is_left_to_be_done() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut problems = Vec::new();
    for (folder, end) in [
        ("framework", ".rs"),
        ("macros", ".rs"),
        ("examples", ".rs"),
        ("tests", ".rs"),
        ("book/src", ".md"),
        (".ci", "run"),
    ] {
        for path in files(folder, end) {
            for (number, line) in read(&path).lines().enumerate() {
                if marks.iter().any(|mark| contains_word(line, mark)) {
                    problems.push(format!("{path}:{}: {}", number + 1, line.trim()));
                }
            }
        }
    }
    none(&problems, "do it, or leave it out");
}

#[test]
fn every_fault_in_the_book_names_tests_that_there_are() {
    let book = read("book/src/internals/simulation.md");
    let table = book.split("## Each fault and its test").nth(1);
    let table = table.and_then(|rest| rest.split("\n## ").next());
    let rows = table.expect("the heading").lines();
    let rows: Vec<&str> = rows.filter(|line| line.starts_with("| ")).collect();
    let mut known = BTreeSet::new();
    for folder in ["framework", "examples/tests", "tests/it"] {
        for path in files(folder, ".rs") {
            let text = read(&path);
            let named = text.lines().filter_map(|line| line.split_once("fn "));
            known.extend(named.filter_map(|(_, rest)| Some(words(rest).next()?.to_owned())));
        }
    }
    let quoted = rows
        .iter()
        .flat_map(|row| row.split('`').skip(1).step_by(2));
    let tests: Vec<&str> = quoted
        .filter(|name| name.matches('_').count() > 2)
        .collect();
    let missing = tests.iter().filter(|name| !known.contains(**name));
    let missing: Vec<String> = missing.map(|name| (*name).to_owned()).collect();
    assert!(
        tests.len() > rows.len() / 2,
        "{tests:?} of {} rows",
        rows.len()
    );
    none(&missing, "name the test that there is now, or write it");
}

#[test]
fn ractor_is_used_without_its_cluster_and_by_one_package() {
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find(|line| line.starts_with("ractor = "));
    let line = line.expect("the workspace names ractor");
    assert!(line.contains("default-features = false"), "{line}");
    assert!(line.contains("features = [\"tokio_runtime\"]"), "{line}");
    // The benchmark is a workspace of its own, in which ractor is a rival.
    let ours = files(".", "Cargo.toml");
    let ours = ours.iter().filter(|path| !path.starts_with("tests/bench/"));
    for path in ours {
        for line in read(path).lines().filter(|line| line.starts_with("ractor")) {
            let plain = line.trim() == "ractor.workspace = true";
            assert!(plain || path == "Cargo.toml", "{path}: {line}");
        }
    }
    // A second user of ractor could turn its features on for the whole build.
    assert_eq!(dependents("ractor"), ["callboard"]);
}

#[test]
fn there_is_one_provider_of_cryptography() {
    let lock = packages();
    for forbidden in [
        "aws-lc-rs",
        "aws-lc-sys",
        "openssl",
        "openssl-sys",
        "native-tls",
    ] {
        let by = dependents(forbidden);
        assert!(!lock.contains_key(forbidden), "{forbidden}, used by {by:?}");
    }
    assert!(lock.contains_key("ring"));
}

#[test]
fn the_only_exception_to_safe_code_is_the_simulator() {
    assert!(read("Cargo.toml").contains("unsafe_code = \"forbid\""));
    for path in files(".", "Cargo.toml") {
        let manifest = read(&path);
        if !manifest.contains("[package]") || path.starts_with("tests/sim/") {
            continue;
        }
        let inherits = manifest.contains("[lints]\nworkspace = true");
        let forbids = manifest.contains("unsafe_code = \"forbid\"");
        assert!(inherits || forbids, "{path} allows unsafe code");
    }
}

/// Checks that every module of a package names only modules that its row allows.
fn check_layers(folder: &str, layers: &[(&str, &[&str])]) {
    let rows: BTreeMap<_, _> = layers.iter().copied().collect();
    for (at, (module, below)) in layers.iter().enumerate() {
        for name in *below {
            let lower = layers.iter().take(at).any(|(lower, _)| lower == name);
            assert!(lower, "the table itself: {module} is not above {name}");
        }
    }
    let mut problems = Vec::new();
    for source in sources(folder.trim_end_matches('/')) {
        let rest = source.path.strip_prefix(folder).unwrap_or(&source.path);
        let module = rest.split(['/', '.']).next().unwrap_or(rest);
        if module == "lib" {
            continue;
        }
        let Some(below) = rows.get(module) else {
            problems.push(format!("{}: `{module}` is not in the table", source.path));
            continue;
        };
        for (number, name) in named_modules(&source.code) {
            if rows.contains_key(name.as_str()) && name != module && !below.contains(&name.as_str())
            {
                problems.push(format!("{}:{number}: {module} names {name}", source.path));
            }
        }
    }
    none(&problems, "depend downwards only");
}

/// Returns the first segments after `crate::`, those in braces too, with their lines.
fn named_modules(code: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let from = at + path.len();
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[from..];
        if !rest.starts_with('{') {
            named.extend(words(rest).next().map(|name| (line, name.to_owned())));
            continue;
        }
        let group = &rest[1..block_of_braces(rest, 0) - 1];
        let mut depth = 0;
        let mut part = String::new();
        for c in group.chars().chain([',']) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    named.extend(words(&part).next().map(|name| (line, name.to_owned())));
                    part.clear();
                }
                _ => part.push(c),
            }
        }
    }
    named
}

/// Returns name, first line and length of each function that has a body.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric();
        let name = words(&code[at + 3..]).next().unwrap_or_default();
        if !starts_word || !code[at + 3..].starts_with(name) || name.is_empty() {
            continue;
        }
        let mut depth = 0;
        let open = code.bytes().enumerate().skip(at).find(|(_, byte)| {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(byte, b'{' | b';')
        });
        if let Some((open, b'{')) = open {
            let end = block_of_braces(code, open);
            let lines = code[at..end].lines().count();
            found.push((name.to_owned(), code[..at].matches('\n').count() + 1, lines));
        }
    }
    found
}

fn product() -> Vec<Source> {
    let all = PRODUCT.iter().flat_map(|folder| sources(folder));
    all.filter(|source| !source.path.contains("/tests/"))
        .collect()
}

fn numbered(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    source
        .code
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
}

fn contains_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part)
    })
}

/// Fingerprints are computed once for a process: a value that depends on nothing but the type.
fn is_allowed(path: &str, word: &str) -> bool {
    path.ends_with("wire/shape.rs") && matches!(word, "OnceLock" | "LazyLock")
}

/// Returns the packages of the lock file with what each depends on.
fn packages() -> BTreeMap<String, Vec<String>> {
    let lock = read("Cargo.lock");
    let blocks = lock.split("[[package]]").skip(1);
    let texts = |block: &str| -> Vec<String> {
        let texts = block.split('"').skip(1).step_by(2);
        texts.map(str::to_owned).collect()
    };
    blocks
        .map(|block| {
            let (head, dependencies) = block.split_once("dependencies = [").unwrap_or((block, ""));
            let name = texts(head).into_iter().next().unwrap_or_default();
            let names = texts(dependencies).into_iter();
            let names = names.filter_map(|text| text.split(' ').next().map(str::to_owned));
            (name, names.collect())
        })
        .collect()
}

fn dependents(name: &str) -> Vec<String> {
    let uses = |dependencies: &Vec<String>| dependencies.iter().any(|uses| uses == name);
    let packages = packages()
        .into_iter()
        .filter(|(_, uses_these)| uses(uses_these));
    packages.map(|(package, _)| package).collect()
}

fn none(problems: &[String], rule: &str) {
    assert!(problems.is_empty(), "{rule}:\n{}", problems.join("\n"));
}

#[test]
fn named_modules_are_found_in_nested_braces() {
    let code = masked("use crate::{actor::{Cell, Ended}, call::Hub};\nlet a = crate::task::x();");
    let named: Vec<_> = named_modules(&code)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    assert_eq!(named, ["actor", "call", "task"]);
}

#[test]
fn a_function_is_measured_from_its_name_to_its_brace() {
    let code = "trait T { fn none(&self) -> [u8; 4]; }\nfn two() -> [u8; 2] {\n}\n";
    assert_eq!(functions(code), [("two".to_owned(), 2, 2)]);
}
