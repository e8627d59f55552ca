//! What is printed, and how.

use std::{
    fmt::Display,
    io::{self, Write},
};

use serde::Serialize;

use crate::{
    args::Format,
    failure::{Failure, Kind},
};

/// Prints a value: as it displays itself, or as one JSON object.
///
/// # Errors
/// Nobody reads any more.
pub(crate) fn print(value: &(impl Serialize + Display), format: Format) -> Result<(), Failure> {
    let text = match format {
        Format::Table => value.to_string(),
        Format::Json => {
            let json = serde_json::to_string_pretty(value);
            json.map_err(|error| Failure::new(Kind::Failed, error.to_string()))? + "\n"
        }
    };
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failure::new(Kind::Failed, format!("the output: {error}")))
}

/// Returns a time as people write it: `950 ms`, `2.4 s`, `3 min 20 s`, `2 d 5 h`.
pub(crate) fn time(millis: u64) -> String {
    let seconds = millis / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{}.{} s", seconds, millis % 1000 / 100),
        60..3600 => format!("{minutes} min {} s", seconds % 60),
        3600..86_400 => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Returns how new what a node says is: `which is at version 42, and holds its lease for 2.4 s`.
pub(crate) fn knowledge(version: u64, lease_left_ms: Option<u64>) -> String {
    let lease = match lease_left_ms {
        Some(left) => format!("and holds its lease for {}", time(left)),
        None => "and HOLDS NO LEASE: what it says may be old".to_owned(),
    };
    format!("which is at version {version}, {lease}")
}

/// Returns `-` for what there is not.
pub(crate) fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_the_two_units_that_matter() {
        let shown = [999, 2400, 200_000, 7_500_000, 190_800_000].map(time);
        assert_eq!(
            shown,
            ["999 ms", "2.4 s", "3 min 20 s", "2 h 5 min", "2 d 5 h"]
        );
    }
}
