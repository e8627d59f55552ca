//! Progress lines for a body of known length: a few lines a transfer, readable in a terminal and
//! in a file.
//!
//! It does not print and reads no clock; the caller hands in what has passed and the time.

use std::time::Duration;

/// Decides when a transfer is worth a line, and writes it.
///
/// At most `lines` lines are given for one transfer, whatever its length and the size of its
/// pieces: one each time another `1/lines` of the body has passed.
#[derive(Debug)]
pub struct Progress {
    total_bytes: u64,
    passed_bytes: u64,
    lines: u64,
    said: u64,
}

impl Progress {
    /// A transfer of `total_bytes`, reported in at most `lines` lines (at least one).
    #[must_use]
    pub fn new(total_bytes: u64, lines: u64) -> Self {
        Self {
            total_bytes,
            passed_bytes: 0,
            lines: lines.max(1),
            said: 0,
        }
    }

    /// Takes note of `bytes` more and returns a line when one is due.
    ///
    /// `elapsed` is the time since the transfer began.
    pub fn passed(&mut self, bytes: u64, elapsed: Duration) -> Option<String> {
        self.passed_bytes = self
            .passed_bytes
            .saturating_add(bytes)
            .min(self.total_bytes);
        let share = u128::from(self.passed_bytes) * u128::from(self.lines)
            / u128::from(self.total_bytes.max(1));
        let share = share as u64;
        if share <= self.said {
            return None;
        }
        self.said = share;
        Some(self.line(elapsed))
    }

    fn line(&self, elapsed: Duration) -> String {
        let done = self.passed_bytes as f64 / self.total_bytes.max(1) as f64;
        let filled = (done * BAR_WIDTH as f64) as usize;
        let rate = self.passed_bytes as f64 / elapsed.as_secs_f64().max(1e-6);
        format!(
            "[{:<BAR_WIDTH$}] {:>3.0}%  {:>10}  {:>10}/s",
            "#".repeat(filled),
            done * 100.0,
            bytes_text(self.passed_bytes),
            bytes_text(rate as u64),
        )
    }
}

/// Writes a number of bytes for a reader: `640 B`, `64.0 KiB`, `1.5 GiB`.
#[must_use]
pub fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1} {unit}")
}

const BAR_WIDTH: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_in_many_pieces_says_only_its_lines() {
        let mut progress = Progress::new(1_000_000, 4);
        let lines: Vec<String> = (0..1_000)
            .filter_map(|piece| progress.passed(1_000, Duration::from_millis(piece)))
            .collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[3].contains("100%"), "{lines:?}");
    }

    #[test]
    fn one_large_piece_says_one_line() {
        let mut progress = Progress::new(10, 4);
        assert!(progress.passed(10, Duration::from_secs(1)).is_some());
        assert!(progress.passed(1, Duration::from_secs(1)).is_none());
    }

    #[test]
    fn an_empty_body_says_nothing_and_divides_by_nothing() {
        assert_eq!(Progress::new(0, 4).passed(0, Duration::ZERO), None);
    }

    #[test]
    fn bytes_are_written_in_the_nearest_unit() {
        assert_eq!(bytes_text(640), "640 B");
        assert_eq!(bytes_text(65_536), "64.0 KiB");
        assert_eq!(bytes_text(256 << 20), "256.0 MiB");
    }
}
