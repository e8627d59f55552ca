//! The messages of the macros, word for word, and the table of their codes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// One row of the table.
struct Row {
    code: &'static str,
    name: &'static str,
    means: &'static str,
    fix: &'static str,
}

macro_rules! codes {
    ($($code:ident $variant:ident $name:literal means $means:literal fix $fix:literal)*) => {
        const ROWS: &[Row] = &[
            $(Row { code: stringify!($code), name: $name, means: $means, fix: $fix },)*
        ];
    };
}

include!("../../macros/src/codes.in");

#[test]
fn every_mistake_has_its_message() {
    // TRYBUILD=overwrite writes the messages anew; read each one before committing it.
    trybuild::TestCases::new().compile_fail("ui/*.rs");
}

#[test]
fn codes_and_names_are_unique_and_explained() {
    for (position, row) in ROWS.iter().enumerate() {
        assert_eq!(
            row.code,
            format!("CB{:04}", position + 1),
            "codes are given in order"
        );
        assert!(
            ROWS[..position].iter().all(|other| other.name != row.name),
            "{}",
            row.name
        );
        for text in [row.means, row.fix] {
            assert!(
                !text.is_empty() && !text.ends_with('.'),
                "{}: {text}",
                row.code
            );
        }
    }
}

#[test]
fn every_code_has_a_mistake_and_its_correction() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let correct = fs::read_to_string(folder.join("../it/macros/right.rs")).expect("readable");
    for row in ROWS
        .iter()
        .filter(|row| !WITHOUT_EXAMPLE.contains(&row.code))
    {
        let message = fs::read_to_string(folder.join(format!("{}.stderr", row.name)));
        let message = message.unwrap_or_else(|error| panic!("{}.stderr: {error}", row.name));
        let said = match SAID_BY_A_NAME.iter().find(|(code, _)| *code == row.code) {
            Some((code, before)) => format!("{before}{code}"),
            None => format!("{}: ", row.code),
        };
        assert!(message.contains(&said), "{} says another code", row.name);
        let messages = message.matches("\nerror").count();
        assert!(
            messages == 0 || BESIDE_THE_COMPILERS.contains(&row.code),
            "{} has several messages",
            row.name
        );
        assert!(
            correct.contains(&format!("/right/{}.rs\"", row.name)),
            "{} is tested",
            row.name
        );
        for (file, anchor) in [(format!("{}.rs", row.name), "wrong"), (right(row), "right")] {
            let text = fs::read_to_string(folder.join(file)).expect("readable");
            assert!(
                text.contains(&format!("// ANCHOR: {anchor}\n")),
                "{}",
                row.name
            );
            assert!(
                text.contains(&format!("// ANCHOR_END: {anchor}\n")),
                "{}",
                row.name
            );
        }
    }
}

fn right(row: &Row) -> String {
    format!("right/{}.rs", row.name)
}

/// The package is renamed by a manifest, which only the compiler's environment names: with cargo
/// this would build everything once more.
#[test]
fn a_renamed_package_is_found() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/renamed");
    let deps = std::env::current_exe()
        .expect("known")
        .parent()
        .expect("a folder")
        .to_path_buf();
    let out = tempfile::tempdir().expect("made");
    let output = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_string()))
        .args([
            "--edition",
            "2021",
            "--crate-type",
            "lib",
            "--emit",
            "metadata",
        ])
        .arg("--extern")
        .arg(format!(
            "board={}",
            newest(&deps, "libcallboard-", ".rlib").display()
        ))
        .arg("-L")
        .arg(format!("dependency={}", deps.display()))
        .arg("--out-dir")
        .arg(out.path())
        .arg(crate_dir.join("src/lib.rs"))
        .env("CARGO_MANIFEST_DIR", &crate_dir)
        .output()
        .expect("started");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns the newest file of that name: the one that this test was built with.
fn newest(folder: &Path, prefix: &str, suffix: &str) -> PathBuf {
    let files = fs::read_dir(folder)
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    let named = files.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(suffix)
    });
    let age = |path: &PathBuf| fs::metadata(path).and_then(|data| data.modified()).ok();
    named.max_by_key(age).expect("built")
}

/// What two derives both define, and the trait that a second `impl` is in conflict with, have the code in their names;
/// with what stands before it.
const SAID_BY_A_NAME: &[(&str, &str)] = &[
    ("CB0069", "error[E0428]: the name `"),
    ("CB0070", "`callboard::__private::"),
];

/// Two derives, or two `impl`s, of which neither sees the other: the compiler tells each trait that
/// both implement.
const BESIDE_THE_COMPILERS: &[&str] = &["CB0069", "CB0070"];

/// `unreadable` needs Rust that the compiler reads and `syn` does not.
const WITHOUT_EXAMPLE: &[&str] = &["CB0059"];
