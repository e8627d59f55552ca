//! Times as a person types and reads them: `500ms`, `20s`, `1.5m` in, `312us`, `1.4ms`, `3.02s` out.
//!
//! It knows nothing of clocks; it only reads and writes [`Duration`]s.

use std::time::Duration;

/// The longest time that is accepted: a day. More is a slip of the keyboard.
pub const SPAN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a time with its unit: `ms`, `s` or `m`, with decimals if wanted.
///
/// # Errors
///
/// A sentence that says what was found and what is expected: a number without a unit, an unknown
/// unit, no number, or a time over [`SPAN_MAX`].
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let unit_at = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| {
        format!("`{text}` is not a time: write a number and its unit, such as 500ms, 20s or 1.5m")
    })?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        "m" => number * 60.0,
        "" => {
            return Err(format!(
                "`{text}` has no unit: write {text}s for seconds, {text}ms or {text}m"
            ));
        }
        unit => {
            return Err(format!(
                "`{unit}` in `{text}` is not a unit: use ms, s or m"
            ));
        }
    };
    if seconds > SPAN_MAX.as_secs_f64() {
        return Err(format!("`{text}` is longer than a day"));
    }
    // Rounded to microseconds, so that 0.3s is 300 ms and not 299.999999 ms.
    Ok(Duration::from_micros((seconds * 1e6).round() as u64))
}

/// Writes a time the way [`parse`] reads it: the largest unit that leaves no remainder.
#[must_use]
pub fn exact(span: Duration) -> String {
    let ms = span.as_millis();
    if ms != 0 && ms.is_multiple_of(60_000) {
        format!("{}m", ms / 60_000)
    } else if ms.is_multiple_of(1_000) {
        format!("{}s", ms / 1_000)
    } else {
        format!("{ms}ms")
    }
}

/// Writes microseconds for a reader: three figures and a unit, at most seven characters wide.
#[must_use]
pub fn brief(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}us"),
        1_000..10_000 => format!("{:.2}ms", us as f64 / 1e3),
        10_000..100_000 => format!("{:.1}ms", us as f64 / 1e3),
        100_000..1_000_000 => format!("{}ms", us / 1_000),
        1_000_000..100_000_000 => format!("{:.2}s", us as f64 / 1e6),
        _ => format!("{}s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_decimals_are_read() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse(" 20s "), Ok(Duration::from_secs(20)));
        assert_eq!(parse("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("0.3s"), Ok(Duration::from_millis(300)));
    }

    #[test]
    fn a_bare_number_is_refused_with_the_fix() {
        let said = parse("20").expect_err("a unit is needed");
        assert!(said.contains("20s"), "{said}");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert!(parse("5h").expect_err("no hours").contains("`h`"));
        assert!(parse("fast").expect_err("no number").contains("`fast`"));
        assert!(parse("").is_err());
        assert!(parse("-5s").is_err());
        assert!(parse("1.2.3s").is_err());
        assert!(parse("99999m").expect_err("too long").contains("day"));
    }

    #[test]
    fn exact_text_reads_back_as_the_same_time() {
        for text in ["0s", "250ms", "20s", "2m", "1500ms"] {
            let span = parse(text).expect("written by hand above");
            assert_eq!(parse(&exact(span)), Ok(span), "{text}");
        }
    }

    #[test]
    fn brief_text_has_three_figures() {
        assert_eq!(brief(312), "312us");
        assert_eq!(brief(1_437), "1.44ms");
        assert_eq!(brief(14_370), "14.4ms");
        assert_eq!(brief(143_700), "143ms");
        assert_eq!(brief(3_020_000), "3.02s");
        assert_eq!(brief(3_020_000_000), "3020s");
    }
}
