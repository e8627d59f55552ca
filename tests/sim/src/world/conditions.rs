//! How a link treats datagrams, in one direction.

use crate::harness::sometimes::sometimes;
use rand::Rng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// The state of one direction of a link. Probabilities are per datagram.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Conditions {
    /// The least time a datagram takes.
    pub(crate) latency: Duration,
    /// What chance adds to it at most.
    pub(crate) jitter: Duration,
    /// Probability of being lost.
    pub(crate) loss: f64,
    /// Probability of arriving twice.
    pub(crate) duplication: f64,
    /// Probability of taking a detour of up to [`Conditions::detour`], overtaken by later ones.
    pub(crate) reordering: f64,
    /// The longest detour.
    pub(crate) detour: Duration,
    /// Probability that one bit flips.
    pub(crate) corruption: f64,
    /// Nothing passes.
    pub(crate) is_cut: bool,
    /// Everything sent before this time arrives only then, in one burst.
    pub(crate) clogged_until: Option<Duration>,
}

impl Conditions {
    /// A good local network: half to two milliseconds, nothing lost.
    pub(crate) fn healthy() -> Self {
        Self {
            latency: Duration::from_micros(500),
            jitter: Duration::from_micros(1500),
            loss: 0.0,
            duplication: 0.0,
            reordering: 0.0,
            detour: Duration::from_millis(40),
            corruption: 0.0,
            is_cut: false,
            clogged_until: None,
        }
    }

    /// Adds what another set of conditions has in excess of nothing at all.
    pub(crate) fn worsen(&mut self, worse: &Conditions) {
        let both = |a: f64, b: f64| 1.0 - (1.0 - a) * (1.0 - b);
        self.latency += worse.latency;
        self.jitter += worse.jitter;
        self.loss = both(self.loss, worse.loss);
        self.duplication = both(self.duplication, worse.duplication);
        self.reordering = both(self.reordering, worse.reordering);
        self.detour = self.detour.max(worse.detour);
        self.corruption = both(self.corruption, worse.corruption);
        self.is_cut |= worse.is_cut;
        self.clogged_until = self.clogged_until.max(worse.clogged_until);
    }

    /// Draws the time a datagram takes that is sent at `now`.
    pub(super) fn delay(&self, now: Duration, rng: &mut SmallRng) -> Duration {
        let mut delay = self.latency + self.jitter.mul_f64(rng.random::<f64>());
        if rng.random_bool(self.reordering) {
            delay += self.detour.mul_f64(rng.random::<f64>());
        }
        if let Some(end) = self.clogged_until.filter(|&end| end > now) {
            sometimes!("a-datagram-waited-in-a-clogged-link");
            delay = delay.max(end - now);
        }
        delay
    }
}
