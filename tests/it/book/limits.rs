//! Every limit is in the book, with its default, its reason and what happens when it is hit.

use std::collections::BTreeSet;

use callboard_tests::source::{block_of_braces, masked, read};

/// Where limits are defined: a file and its struct.
const DEFINED: [(&str, &str); 4] = [
    ("framework/runtime/src/net/config.rs", "Config"),
    ("framework/protocol/src/wire/limits.rs", "Limits"),
    ("framework/runtime/src/call/limits.rs", "CallLimits"),
    ("framework/runtime/src/actor/settings.rs", "Settings"),
];
const PAGE: &str = "book/src/reference/settings.md";

/// What a limit is a number of. Names, switches and groups of limits are none.
const NUMBERS: [&str; 6] = ["usize", "u8", "u16", "u32", "u64", "Duration"];

#[test]
fn the_book_lists_every_limit_and_no_other() {
    let defined = DEFINED.iter().flat_map(|(file, name)| fields(file, name));
    let defined: BTreeSet<String> = defined.collect();
    let page = read(PAGE);
    let (_, tables) = page.split_once("## Links").expect("the first table");
    let (tables, _) = tables
        .split_once("## Bounds without")
        .expect("the last one");
    let rows: Vec<Vec<&str>> = tables.lines().filter_map(row).collect();
    let listed: BTreeSet<String> = rows.iter().map(|row| row[0].replace('`', "")).collect();
    assert_eq!(listed, defined, "{PAGE}: left the book's, right the code's");
    assert_eq!(rows.len(), defined.len(), "a limit is there twice");
    for row in rows {
        let says = |cell: &&str| !cell.is_empty();
        assert!(row.len() >= 4 && row.iter().all(says), "{PAGE}: {row:?}");
    }
}

/// Returns the cells of a row about a setting.
fn row(line: &str) -> Option<Vec<&str>> {
    let cells = line.strip_prefix("| `")?;
    let start = line.len() - cells.len() - 1;
    let cells = line[start..].trim_end().strip_suffix('|')?;
    Some(cells.split('|').map(str::trim).collect())
}

/// Returns the numbers of a struct.
fn fields(file: &str, name: &str) -> Vec<String> {
    let code = masked(&read(file));
    let at = code.find(&format!("pub struct {name} {{")).expect(name);
    let block = &code[at..block_of_braces(&code, at)];
    let fields = block.lines().filter_map(|line| {
        let (name, kind) = line.trim().strip_prefix("pub ")?.split_once(": ")?;
        let is_number = NUMBERS.contains(&kind.trim_end_matches(','));
        is_number.then(|| name.to_owned())
    });
    let fields: Vec<String> = fields.collect();
    assert!(fields.len() > 5, "{file}: {fields:?}");
    fields
}
