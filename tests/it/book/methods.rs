//! The page of what a node, a client and a context can do lists every public function, and no other.

use std::collections::BTreeSet;

use callboard_tests::source::{block_of_braces, masked, read};

const PAGE: &str = "book/src/reference/methods.md";

/// A section of the page, and the block of the code that it lists.
const SECTIONS: [(&str, &str, &str); 8] = [
    ("Node", "framework/runtime/src/node.rs", "impl Node {"),
    (
        "Builder",
        "framework/runtime/src/node/builder.rs",
        "impl Builder {",
    ),
    ("Client", "framework/runtime/src/client.rs", "impl Client {"),
    (
        "ClientBuilder",
        "framework/runtime/src/client.rs",
        "impl ClientBuilder {",
    ),
    (
        "Ctx",
        "framework/runtime/src/service/ctx.rs",
        "impl<A: Definition> Ctx<A> {",
    ),
    (
        "Supervisor",
        "framework/runtime/src/service/supervisor.rs",
        "impl Supervisor {",
    ),
    (
        "Member",
        "framework/runtime/src/node.rs",
        "pub struct Member {",
    ),
    (
        "CallError",
        "framework/protocol/src/code/error.rs",
        "impl CallError {",
    ),
];

#[test]
fn the_book_lists_every_public_function_of_what_a_user_holds() {
    let page = read(PAGE);
    for (of, file, block) in SECTIONS {
        let heading = format!(": `{of}`\n");
        let (_, section) = page
            .split_once(&heading)
            .unwrap_or_else(|| panic!("{PAGE}: {of}"));
        let section = section.split("\n## ").next().unwrap_or_default();
        let rows: Vec<&str> = section.lines().filter_map(name).collect();
        let listed: BTreeSet<&str> = rows.iter().copied().collect();
        assert_eq!(rows.len(), listed.len(), "{PAGE}: {of} has a line twice");
        let text = read(file);
        let code = masked(&text);
        let at = code
            .find(block)
            .unwrap_or_else(|| panic!("{file}: {block}"));
        let end = block_of_braces(&code, at);
        let there = public(&code[at..end], &text[at..end]);
        assert_eq!(listed, there, "{of}: left {PAGE}, right {file}");
    }
    assert_eq!(page.matches("\n## ").count(), SECTIONS.len());
}

/// Returns the name in the first cell of a row: what is called, or the field.
fn name(line: &str) -> Option<&str> {
    let cell = line.strip_prefix("| `")?.split('`').next()?;
    let called = cell.split(['(', '<']).next()?.trim_end_matches("::");
    called.rsplit(['.', ':']).next()
}

/// Returns the names of the public functions and fields of a block, without the hidden ones.
fn public<'a>(code: &'a str, text: &str) -> BTreeSet<&'a str> {
    let (mut names, mut is_hidden) = (BTreeSet::new(), false);
    for (line, written) in code.lines().zip(text.lines()) {
        let line = line.trim();
        is_hidden |= written.trim() == "#[doc(hidden)]";
        let Some(item) = line.strip_prefix("pub ") else {
            is_hidden &=
                line.is_empty() || line.starts_with('#') || written.trim().starts_with("///");
            continue;
        };
        let is_function = item.starts_with("fn ")
            || item.starts_with("async fn ")
            || item.starts_with("const fn ");
        let item = item
            .trim_start_matches("async ")
            .trim_start_matches("const ")
            .trim_start_matches("fn ");
        let end = item
            .find(|it: char| !it.is_alphanumeric() && it != '_')
            .unwrap_or(item.len());
        if !is_hidden && (is_function || item[end..].starts_with(':')) {
            names.insert(&item[..end]);
        }
        is_hidden = false;
    }
    names
}
