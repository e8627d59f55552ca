//! Reads the small languages inside quotes: durations, intensities, ranges of durations.

use crate::model::Millis;

/// Reads `10m`: a whole number above zero and `ms`, `s`, `m`, `h` or `d`.
pub(super) fn duration(text: &str) -> Option<Millis> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let millis = number.parse::<u64>().ok()?.checked_mul(factor)?;
    (1..=MILLIS_MAX).contains(&millis).then_some(Millis(millis))
}

/// Reads `5 in 10s`.
pub(super) fn intensity(text: &str) -> Option<(u32, Millis)> {
    let (restarts, within) = text.split_once(" in ")?;
    Some((restarts.trim().parse().ok()?, duration(within)?))
}

/// Reads `100ms..10s`, the shorter one first.
pub(super) fn backoff(text: &str) -> Option<(Millis, Millis)> {
    let (min, max) = text.split_once("..")?;
    let (min, max) = (duration(min)?, duration(max)?);
    (min <= max).then_some((min, max))
}

/// Ten years: beyond any use, and far from where adding to a clock overflows.
const MILLIS_MAX: u64 = 3_652 * 86_400_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_number_and_a_unit() {
        assert_eq!(duration("10m"), Some(Millis(600_000)));
        assert_eq!(duration("500 ms"), Some(Millis(500)));
        for wrong in [
            "10",
            "m",
            "",
            "0s",
            "-1s",
            "1.5s",
            "10 minutes",
            "99999999999999999999d",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_backoff_goes_up() {
        assert_eq!(backoff("100ms..10s"), Some((Millis(100), Millis(10_000))));
        assert_eq!(backoff("10s..100ms"), None);
    }

    #[test]
    fn an_intensity_is_a_number_in_a_duration() {
        assert_eq!(intensity("5 in 10s"), Some((5, Millis(10_000))));
        assert_eq!(intensity("5/10s"), None);
    }
}
