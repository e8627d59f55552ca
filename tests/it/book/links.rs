//! Links, anchors, includes, and which pages there are.

use std::collections::BTreeSet;

use callboard_tests::source::{read, root};

use super::markdown::{FOLDER, Page, pages, resolved};

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let pages = pages();
    let mut problems = Vec::new();
    for page in &pages {
        for (line, link) in page.links() {
            if let Some(why) = broken(&pages, page, &link) {
                problems.push(format!("{}:{line}: {link}: {why}", page.path));
            }
        }
    }
    none(&problems);
}

#[test]
fn the_summary_lists_every_page_once() {
    let pages = pages();
    let summary = pages.iter().find(|page| page.path == "SUMMARY.md");
    let listed: Vec<String> = summary
        .expect("there is a summary")
        .links()
        .into_iter()
        .map(|(_, link)| link)
        .collect();
    let there: BTreeSet<&str> = pages
        .iter()
        .map(|page| page.path.as_str())
        .filter(|path| *path != "SUMMARY.md")
        .collect();
    let unique: BTreeSet<&str> = listed.iter().map(String::as_str).collect();
    assert_eq!(unique, there);
    assert_eq!(unique.len(), listed.len(), "a page is listed twice");
}

#[test]
fn every_include_has_its_file_and_its_anchor() {
    let mut problems = Vec::new();
    for page in pages() {
        for (line, path, anchor) in page.includes() {
            let at = format!("{}:{line}", page.path);
            if !root().join(&path).is_file() {
                problems.push(format!("{at}: there is no {path}"));
                continue;
            }
            let Some(anchor) = anchor else { continue };
            let text = read(&path);
            let mark = |kind: &str| {
                let mark = format!("{kind}: {anchor}");
                text.lines()
                    .filter(|line| line.trim_end().ends_with(&mark))
                    .count()
            };
            if mark(" ANCHOR") != 1 || mark(" ANCHOR_END") != 1 {
                problems.push(format!("{at}: {path} has no anchor `{anchor}`, or two"));
            }
        }
    }
    none(&problems);
}

#[test]
fn no_rust_is_typed_into_the_book() {
    let mut problems = Vec::new();
    for page in pages() {
        for fence in page.fences() {
            let at = format!("{}:{}", page.path, fence.line);
            let Some(language) = fence.info.first() else {
                problems.push(format!("{at}: the fence names no language"));
                continue;
            };
            let rust = language == "rust" || language == "rs";
            let typed = |line: &&str| !line.is_empty() && !line.starts_with("{{#include ");
            if rust && fence.body.lines().any(|line| typed(&line)) {
                problems.push(format!("{at}: Rust comes by `{{{{#include}}}}` only"));
            }
        }
    }
    none(&problems);
}

#[test]
fn the_book_speaks_of_callboard_alone() {
    let mut problems = Vec::new();
    for page in pages() {
        for (number, line) in page.text.lines().enumerate() {
            for foreign in ["/work/", "/root/", "/home/", "artifactory"] {
                if line.contains(foreign) {
                    problems.push(format!("{}:{}: {foreign}", page.path, number + 1));
                }
            }
        }
    }
    none(&problems);
}

/// Says why a link leads nowhere.
fn broken(pages: &[Page], page: &Page, link: &str) -> Option<String> {
    if link.starts_with("https://") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() {
        format!("{FOLDER}/{}", page.path)
    } else {
        resolved(&page.path, path)
    };
    if !root().join(&target).is_file() {
        return Some("there is no such file".to_owned());
    }
    let target = target.strip_prefix(&format!("{FOLDER}/"))?;
    let target = pages.iter().find(|page| page.path == target)?;
    let found = anchor.is_empty() || target.anchors().iter().any(|found| found == anchor);
    (!found).then(|| format!("the page has {:?}", target.anchors()))
}

fn none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn the_walk_of_a_call_is_true_and_short() {
    let pages = pages();
    let walk = pages.iter().find(|page| page.path == "internals/walk.md");
    let walk = walk.expect("the walk has a page");
    let mut stops = 0;
    for line in walk.text.lines() {
        let (number, rest) = line.split_once(". `").unwrap_or_default();
        if number.parse::<u32>().is_err() {
            continue;
        }
        stops += 1;
        let mut named = rest.split('`');
        let (file, function) = (named.next(), named.nth(1));
        let (file, function) = file.zip(function).expect("a file and a function");
        let source = read(file);
        let defines = ["(", "<"].map(|next| format!("fn {function}{next}"));
        assert!(
            defines.iter().any(|define| source.contains(define)),
            "{file} has no function `{function}`"
        );
    }
    // Ten to a service on another node, and three each where a call does not go straight, and where one
    // in the same process takes another way.
    assert_eq!(stops, 16);
}

#[test]
fn paths_of_the_repository_that_the_book_names_are_there() {
    let mut problems = Vec::new();
    for page in pages() {
        for (at, line) in page.text.lines().enumerate() {
            for name in line.split('`').skip(1).step_by(2) {
                let roots = ["framework/", "examples/", "tests/", "macros/", "book/"];
                let path = roots.iter().any(|root| name.starts_with(root));
                if path && !root().join(name.trim_end_matches('/')).exists() {
                    problems.push(format!("{}:{}: {name}", page.path, at + 1));
                }
            }
        }
    }
    none(&problems);
}
