//! As much of Markdown as the book's tests need: fences, links, headings, includes.
//!
//! It is no parser: the book keeps to fences at the margin, inline links and `#` headings.

use callboard_tests::source::{files, read};

/// A page of the book.
pub(crate) struct Page {
    /// From `book/src/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Fence {
    /// What stands after the back ticks, apart.
    pub(crate) info: Vec<String>,
    /// The line of the opening fence.
    pub(crate) line: usize,
    pub(crate) body: String,
}

/// Returns all pages, `SUMMARY.md` too.
pub(crate) fn pages() -> Vec<Page> {
    let pages = files(FOLDER, ".md").into_iter().map(|path| Page {
        text: read(&path),
        path: path.trim_start_matches("book/src/").to_owned(),
    });
    pages.collect()
}

impl Page {
    /// Returns the page's blocks in order.
    pub(crate) fn fences(&self) -> Vec<Fence> {
        let mut fences = Vec::new();
        let mut open: Option<Fence> = None;
        for (at, line) in self.text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => {
                    let info = info.split([',', ' ']).filter(|word| !word.is_empty());
                    open = Some(Fence {
                        info: info.map(str::to_owned).collect(),
                        line: at + 1,
                        body: String::new(),
                    });
                }
                (Some(_), Some(_)) => fences.extend(open.take()),
                (Some(fence), None) => {
                    fence.body.push_str(line);
                    fence.body.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a fence is not closed", self.path);
        fences
    }

    /// Returns the lines outside of fences, without code in back ticks, with their numbers.
    pub(crate) fn prose(&self) -> Vec<(usize, String)> {
        let mut inside = false;
        let mut prose = Vec::new();
        for (at, line) in self.text.lines().enumerate() {
            if line.starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.push((at + 1, line.split('`').step_by(2).collect()));
            }
        }
        prose
    }

    /// Returns where the page's links lead, with their lines.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line) in self.prose() {
            for (at, _) in line.match_indices("](") {
                let rest = &line[at + 2..];
                let end = rest.find(')').unwrap_or(rest.len());
                links.push((number, rest[..end].to_owned()));
            }
        }
        links
    }

    /// Returns the anchors of the page's headings, as mdBook makes them.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let mut inside = false;
        let headings = self.text.lines().filter(|line| {
            if line.starts_with("```") {
                inside = !inside;
            }
            !inside && line.starts_with('#')
        });
        headings.map(anchor).collect()
    }

    /// Returns the includes of the page: path and anchor, with their lines.
    pub(crate) fn includes(&self) -> Vec<(usize, String, Option<String>)> {
        let mut includes = Vec::new();
        for (at, line) in self.text.lines().enumerate() {
            let Some(include) = line.trim().strip_prefix("{{#include ") else {
                continue;
            };
            let include = include.trim_end_matches('}').trim();
            let (path, anchor) = match include.rsplit_once(':') {
                Some((path, anchor)) => (path, Some(anchor.to_owned())),
                None => (include, None),
            };
            includes.push((at + 1, resolved(&self.path, path), anchor));
        }
        includes
    }
}

/// Returns the path from the repository's root of what a page names relative to itself.
pub(crate) fn resolved(page: &str, relative: &str) -> String {
    let page = format!("{FOLDER}/{page}");
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter_map(|c| match c {
        c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    });
    kept.collect()
}

pub(crate) const FOLDER: &str = "book/src";

#[test]
fn paths_are_resolved_from_the_page() {
    assert_eq!(
        resolved("tutorials/a.md", "../../../examples/greeter.rs"),
        "examples/greeter.rs"
    );
    assert_eq!(resolved("a.md", "b/c.md"), "book/src/b/c.md");
    assert_eq!(anchor("## `once`, and more: why?"), "once-and-more-why");
}
