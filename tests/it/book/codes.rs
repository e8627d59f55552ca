//! The pages of the error codes are those of the tables, and say what the tables say.
//!
//! A page begins with facts that are written from its row; `BOOK_UPDATE=1 cargo test book` writes
//! them anew. What follows the facts of a call's code is written by hand, and has to be there; the
//! page of a macro's code is written as a whole, from the table and the examples in `tests/ui`.

use std::fs;

use callboard::{Code, Fault, Ran, Retry};

use callboard_tests::source::{files, read, root};

struct Row {
    code: &'static str,
    name: &'static str,
    means: &'static str,
    fix: &'static str,
}

macro_rules! codes {
    ($($code:ident $variant:ident $name:literal means $means:literal fix $fix:literal)*) => {
        /// The mistakes that the macros find.
        const MISTAKES: &[Row] = &[
            $(Row { code: stringify!($code), name: $name, means: $means, fix: $fix },)*
        ];
    };
}

include!("../../../macros/src/codes.in");

#[test]
fn every_code_has_its_page_and_no_other_page_is_there() {
    let mut wanted: Vec<String> = MISTAKES.iter().map(|row| page(row.code)).collect();
    wanted.extend(Code::ALL.iter().map(|code| page(code.text())));
    wanted.push(format!("{FOLDER}/index.md"));
    wanted.sort();
    let there = files(FOLDER, ".md");
    assert_eq!(there, wanted, "a page a code: {FOLDER}");
}

#[test]
fn the_pages_of_the_macros_are_what_the_table_says() {
    for row in MISTAKES {
        agree(&page(row.code), &mistake(row), "");
    }
}

#[test]
fn the_pages_of_calls_links_and_starts_begin_with_the_facts_of_the_table() {
    for code in Code::ALL {
        agree(&page(code.text()), &facts(*code), STORY);
    }
}

#[test]
fn the_names_that_no_handler_may_have_are_in_the_book() {
    let rules = read("macros/src/check/method.rs");
    let (_, table) = rules.split_once("const RESERVED").expect("the table");
    let (table, _) = table.split_once("];").expect("its end");
    let names = table.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("(\"")?;
        name.split('"').next()
    });
    let page = read("book/src/concepts/refs.md");
    let mut count = 0;
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name}");
        count += 1;
    }
    assert_eq!(count, 7, "the page says how many");
}

#[test]
fn the_index_lists_every_code_with_its_facts() {
    let mistakes = MISTAKES.iter().map(|row| {
        format!(
            "| [{0}]({0}.md) | {1} | {2} |",
            row.code, row.name, row.means
        )
    });
    let codes = Code::ALL.iter().map(|code| {
        format!(
            "| [{0}]({0}.md) | {1} | {2} | {3} | {4} |",
            code.text(),
            code.name(),
            short_fault(code.fault()),
            short_ran(code.ran()),
            short_retry(code.retry()),
        )
    });
    let index = format!("{FOLDER}/index.md");
    let text = read(&index);
    let head = text.split("<!-- The tables").next().unwrap_or_default();
    let whole = format!(
        "{head}<!-- The tables are written by a test: BOOK_UPDATE=1 cargo test book -->\n\n\
         ## Calls, links, starting\n\n\
         | code | name | at fault | may it have run | try again |\n| --- | --- | --- | --- | --- |\n\
         {}\n\n## Definitions\n\n| code | name | meaning |\n| --- | --- | --- |\n{}\n",
        codes.collect::<Vec<_>>().join("\n"),
        mistakes.collect::<Vec<_>>().join("\n"),
    );
    agree(&index, &whole, "");
}

/// Compares a page with its text, or with how it begins when a story written by hand follows.
fn agree(path: &str, text: &str, story: &str) {
    if std::env::var_os("BOOK_UPDATE").is_some() {
        let old = fs::read_to_string(root().join(path)).unwrap_or_default();
        let kept = match old.find(story) {
            Some(at) if !story.is_empty() => &old[at..],
            _ => "",
        };
        fs::write(root().join(path), format!("{text}{kept}")).expect("written");
    }
    let there = read(path);
    if story.is_empty() {
        assert!(there == text, "{path} differs from its table; {UPDATE}");
        return;
    }
    assert!(
        there.starts_with(text),
        "{path} does not begin with its facts; {UPDATE}"
    );
    let rest = &there[text.len()..];
    assert!(
        rest.starts_with(story) && rest.len() > story.len() + 80,
        "{path} does not say how the error comes about"
    );
}

fn mistake(row: &Row) -> String {
    let mut page = format!(
        "# {} {}\n\n{}.\n\n**What to do:** {}.\n",
        row.code,
        row.name,
        sentence(row.means),
        row.fix
    );
    let parts = [
        (
            "The mistake",
            "rust,ignore",
            format!("{}.rs", row.name),
            ":wrong",
        ),
        (
            "What the compiler says",
            "text",
            format!("{}.stderr", row.name),
            "",
        ),
        (
            "The correction",
            "rust,ignore",
            format!("right/{}.rs", row.name),
            ":right",
        ),
    ];
    for (title, language, file, anchor) in parts {
        if root().join("tests/ui").join(&file).is_file() {
            page.push_str(&format!(
                "\n## {title}\n\n```{language}\n{{{{#include ../../../tests/ui/{file}{anchor}}}}}\n```\n"
            ));
        }
    }
    page
}

fn facts(code: Code) -> String {
    let fault = match code.fault() {
        Fault::Caller => "the caller: its code, its arguments or its settings",
        Fault::Peer => "the other side: its handler, its load, its version or its settings",
        Fault::Network => "what lies between the two, or the membership of the cluster",
        Fault::Us => {
            "the node or client that reports it: one of its limits, its files or its shutdown"
        }
    };
    let ran = match code.ran() {
        Ran::NotSent => "no, nothing was sent",
        Ran::Refused => "no, it was refused before it ran",
        Ran::MayHaveRun => "it may have: in whole, in part or not at all",
    };
    let retry = match code.retry() {
        Retry::Never => "no: it would fail again, or is not safe",
        Retry::Elsewhere => "yes, it is safe for every method",
        Retry::IfIdempotent => "only if running twice is harmless (`idempotent`)",
    };
    format!(
        "# {} {}\n\n{}.\n\n| | |\n| --- | --- |\n| at fault | {fault} |\n| has the handler run | {ran} |\n\
         | try again | {retry} |\n| in code | `Code::{code:?}` |\n\n**What to do:** {}.\n\n",
        code.text(),
        code.name(),
        sentence(code.meaning()),
        code.advice()
    )
}

fn short_fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Caller => "caller",
        Fault::Peer => "other side",
        Fault::Network => "network",
        Fault::Us => "this node",
    }
}

fn short_ran(ran: Ran) -> &'static str {
    match ran {
        Ran::NotSent => "not sent",
        Ran::Refused => "refused",
        Ran::MayHaveRun => "may have run",
    }
}

fn short_retry(retry: Retry) -> &'static str {
    match retry {
        Retry::Never => "no",
        Retry::Elsewhere => "yes",
        Retry::IfIdempotent => "if idempotent",
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

fn page(code: &str) -> String {
    format!("{FOLDER}/{code}.md")
}

const FOLDER: &str = "book/src/codes";
const STORY: &str = "## How it comes about\n";
const UPDATE: &str = "see the top of this test";
