//! Rust sources as text: which files there are, and their code with comments, texts and tests taken
//! out. It knows tokens as far as the rules of `tidy` need them, and no grammar. Depends on `std`.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
pub struct Source {
    /// From the root of the repository, with `/`.
    pub path: String,
    /// The text with comments, literals and test modules blanked; lines keep their numbers.
    pub code: String,
}

/// Returns the root of the repository.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize()
        .expect("the tests lie in the repository")
}

/// Returns the files under a folder of the repository whose names end in `end`, sorted.
pub fn files(folder: &str, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("it can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" && !path.ends_with("book/book") {
                    folders.push(path);
                }
            } else if name.ends_with(end) {
                let path = path
                    .strip_prefix(root())
                    .expect("it lies below")
                    .to_path_buf();
                found.push(path.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}

/// Returns the text of a file of the repository.
pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the sources under a folder but for files that hold only tests.
pub fn sources(folder: &str) -> Vec<Source> {
    let is_test = |path: &String| {
        path.starts_with("tests/")
            || path.contains("/tests/")
            || path.ends_with("/tests.rs")
            || path.ends_with("/garbage.rs")
    };
    let sources = files(folder, ".rs")
        .into_iter()
        .filter(|path| !is_test(path));
    sources
        .map(|path| {
            let text = read(&path);
            let code = without_tests(&masked(&text));
            Source { path, code }
        })
        .collect()
}

/// Returns the identifiers of a line of code.
pub fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Blanks comments and what is inside of literals.
pub fn masked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match &bytes[at..] {
            [b'/', b'/', ..] => line_end(bytes, at),
            [b'/', b'*', ..] => block_end(bytes, at),
            [b'r', b'"' | b'#', ..] if !follows_word(bytes, at) => raw_end(bytes, at),
            [b'"', ..] => quote_end(bytes, at, b'"'),
            [b'\'', b'\\', ..] | [b'\'', _, b'\'', ..] => quote_end(bytes, at, b'\''),
            _ => at,
        };
        for byte in &mut masked[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end.max(at + 1);
    }
    String::from_utf8_lossy(&masked).into_owned()
}

/// Blanks the modules under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut left = code.to_owned();
    while let Some(at) = left.find("#[cfg(test)]") {
        let from = at + "#[cfg(test)]".len();
        let end = match left[from..].find(['{', ';']) {
            Some(brace) if left.as_bytes()[from + brace] == b'{' => {
                block_of_braces(&left, from + brace)
            }
            Some(semicolon) => from + semicolon + 1,
            None => left.len(),
        };
        let blank: String = left[at..end]
            .chars()
            .filter(|c| *c == '\n' || c.is_ascii())
            .map(|c| if c == '\n' { c } else { ' ' })
            .collect();
        left.replace_range(at..end, &blank);
    }
    left
}

/// Returns where the block that opens at `open` has ended.
pub fn block_of_braces(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at + 1,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes[at..].iter().position(|byte| *byte == b'\n');
    rest.map_or(bytes.len(), |length| at + length)
}

fn block_end(bytes: &[u8], at: usize) -> usize {
    let end = bytes[at..].windows(2).position(|pair| pair == b"*/");
    end.map_or(bytes.len(), |length| at + length + 2)
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

/// A raw text; `r#name` is none.
fn raw_end(bytes: &[u8], at: usize) -> usize {
    let hashes = bytes[at + 1..]
        .iter()
        .take_while(|byte| **byte == b'#')
        .count();
    if bytes.get(at + 1 + hashes) != Some(&b'"') {
        return at;
    }
    let close: Vec<u8> = [b'"']
        .into_iter()
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let from = at + 2 + hashes;
    let end = bytes[from..]
        .windows(close.len())
        .position(|end| end == close);
    end.map_or(bytes.len(), |length| from + length + close.len())
}

fn quote_end(bytes: &[u8], at: usize, quote: u8) -> usize {
    let mut end = at + 1;
    while end < bytes.len() && bytes[end] != quote {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    (end + 1).min(bytes.len())
}

#[test]
fn comments_literals_and_tests_are_no_code() {
    let text = "let a = \"{ // no\"; // {\nlet b = '{'; let c: &'static str = r#\"}\"#;\n\
                #[cfg(test)]\nmod tests { fn x() {} }\nlast";
    let code = without_tests(&masked(text));
    assert_eq!(code.lines().count(), text.lines().count());
    assert!(!code.contains(['{', '}']), "{code}");
    assert!(code.contains("&'static str") && code.ends_with("last"));
}
