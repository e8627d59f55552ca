//! What the README shows is what the examples compile.

const README: &str = include_str!("../../README.md");
const GREETER: &str = include_str!("../greeter.rs");

#[test]
fn the_taste_in_the_readme_is_the_greeter_example_line_by_line() {
    let shown = README
        .split("```rust\n")
        .nth(1)
        .expect("the README has a Rust block");
    let shown = shown.split("```").next().expect("and the block ends");
    let mut compiled = GREETER.lines().map(str::trim);
    for line in shown.lines().map(str::trim) {
        // The example has an error type and a way out that the README leaves to its comment.
        if line.is_empty() || (line.starts_with("//") && !line.starts_with("///")) {
            continue;
        }
        assert!(
            compiled.any(|compiled| compiled == line),
            "not in greeter.rs, or not here: {line}"
        );
    }
}

#[test]
fn the_greeter_is_under_forty_lines() {
    assert!(GREETER.lines().count() < 40);
}
