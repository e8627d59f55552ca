//! When a member that hears of no leader campaigns.
//!
//! The library draws this from a generator of its thread. It is told of a time that never comes,
//! and this one takes its place, so that a seed gives one run. Depends on `env`.

use crate::env::Entropy;

/// A number of ticks, drawn anew for every campaign.
#[derive(Debug)]
pub(super) struct Timeout {
    ticks_min: usize,
    ticks: usize,
}

impl Timeout {
    pub(super) fn new(ticks_min: usize, entropy: &dyn Entropy) -> Self {
        let mut timeout = Self {
            ticks_min,
            ticks: ticks_min,
        };
        timeout.draw(entropy);
        timeout
    }

    /// Draws a time from `ticks_min` up to twice that, as section 5.2 of the Raft paper has it.
    pub(super) fn draw(&mut self, entropy: &dyn Entropy) {
        let spread = self.ticks_min.max(1) as u64;
        let more = usize::try_from(entropy.next_u64() % spread).unwrap_or(0);
        self.ticks = self.ticks_min + more;
    }

    /// Whether so many ticks without a leader are enough.
    pub(super) const fn has_passed(&self, elapsed: usize) -> bool {
        elapsed >= self.ticks
    }
}

/// What the library is told: ticks that no process lives to see.
pub(super) const NEVER_TICKS: usize = 1 << 50;
