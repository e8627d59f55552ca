//! What is a condition, what is not, and what is said about it.

use super::*;

fn values(name: &str) -> Option<f64> {
    match name {
        "calls_ok" => Some(12_000.0),
        "calls_failed" => Some(0.0),
        "p99_us" => Some(1_400.0),
        _ => None,
    }
}

fn holds(text: &str) -> bool {
    Expression::parse(text)
        .expect(text)
        .holds(values)
        .expect(text)
}

#[test]
fn every_comparison_is_understood() {
    for (text, expected) in [
        ("calls_failed==0", true),
        ("calls_failed != 0", false),
        ("calls_ok < 12000", false),
        ("calls_ok <= 12000", true),
        ("calls_ok > 11_999", true),
        ("calls_ok>=12000.5", false),
        ("1000 < p99_us", true),
        ("p99_us < calls_ok", true),
    ] {
        assert_eq!(holds(text), expected, "{text}");
    }
}

#[test]
fn and_binds_more_than_or() {
    assert!(holds("calls_ok==0 && calls_failed==0 || p99_us>0"));
    assert!(!holds("calls_ok==0 && (calls_failed==0 || p99_us>0)"));
    assert!(holds("p99_us>0 || calls_ok==0 && calls_failed==1"));
}

#[test]
fn an_unknown_field_is_found_on_either_side_of_or() {
    let expression = Expression::parse("calls_failed==0 || calls_fialed==0").expect("it parses");
    assert_eq!(
        expression.holds(values),
        Err(UnknownField("calls_fialed".to_owned()))
    );
    let fields: Vec<&str> = expression.fields().into_iter().collect();
    assert_eq!(fields, ["calls_failed", "calls_fialed"]);
}

#[test]
fn what_is_untrue_is_said_with_its_values() {
    let expression = Expression::parse("calls_failed==0 && calls_ok>=20000").expect("it parses");
    assert_eq!(
        expression.untrue(values),
        ["calls_ok>=20000 (calls_ok is 12000)"]
    );
}

#[test]
fn a_mistake_is_pointed_at() {
    for (text, at, part) in [
        ("", 0, "expected a field or a number, found the end"),
        (
            "calls_ok",
            8,
            "expected one of == != < <= > >=, found the end",
        ),
        ("calls_ok = 5", 9, "write =="),
        ("calls_ok == ", 12, "expected a field or a number"),
        ("calls_ok == 5 & p99_us > 0", 14, "write && or ||"),
        (
            "calls_ok == 5 p99_us > 0",
            14,
            "expected && or || or the end, found `p99_us`",
        ),
        ("(calls_ok == 5", 14, "expected `)`"),
        ("calls_ok == 5)", 13, "expected && or || or the end"),
        ("calls_ok + 1 == 5", 9, "`+` is not understood"),
        ("calls_ok == 1e4", 12, "`1e4` is not a number"),
        ("calls_ok == 1.2.3", 12, "`1.2.3` is not a number"),
        ("calls_ok == -1", 12, "`-` is not understood"),
    ] {
        let error = Expression::parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    }
}

#[test]
fn the_message_shows_the_text_a_caret_and_the_grammar() {
    let said = Expression::parse("calls_ok = 5")
        .expect_err("one `=`")
        .to_string();
    assert!(
        said.contains("\n    calls_ok = 5\n             ^\n"),
        "{said}"
    );
    assert!(said.contains("comparisons"), "{said}");
}

#[test]
fn deep_parentheses_are_refused_and_not_followed() {
    let text = format!("{}calls_ok==1{}", "(".repeat(100_000), ")".repeat(100_000));
    let error = Expression::parse(&text).expect_err("too deep");
    assert!(error.message.contains("parentheses"), "{}", error.message);
}
