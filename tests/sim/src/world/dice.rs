//! Decides when a planted bug strikes and when a rare path is provoked.

use crate::harness::sometimes::sometimes;
use crate::harness::{Run, Seed};
use callboard::env::{Bug, Dice, Plant};
use rand::Rng;
use rand::rngs::SmallRng;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Dice that follow from the seed.
struct SeededDice {
    seed: Seed,
    bug: Option<Bug>,
    /// Whether rare paths are provoked: as long as there are faults.
    stormy: Arc<AtomicBool>,
    rng: Mutex<SmallRng>,
}

/// Returns what is planted in the machine called `name`: the bug of the run, if it has one, and, as
/// long as it is `stormy`, rare paths.
pub(super) fn plant(run: Run, name: &str, stormy: Arc<AtomicBool>) -> Plant {
    Plant::with_dice(Arc::new(SeededDice {
        seed: run.seed,
        bug: run.bug,
        stormy,
        rng: Mutex::new(run.seed.stream(&format!("dice of {name}"))),
    }))
}

impl SeededDice {
    fn roll(&self, one_in: u32) -> bool {
        let mut rng = self
            .rng
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        rng.random_ratio(1, one_in)
    }
}

impl Dice for SeededDice {
    fn strikes(&self, bug: Bug) -> bool {
        let one_in = match bug {
            // Its hook is visited only after a fault, which is rare enough.
            Bug::UnsafeRetry => 1,
            // It does harm only to a leader that was deposed and has not noticed.
            Bug::RenewalWithoutRead => 1,
            // It does harm only where the power goes before the next sync.
            Bug::UnsyncedAck => 1,
            // They are visited only by turns that outlive their leases.
            Bug::RanAndMoved | Bug::SkippedFence => 1,
            // Few sends wait when their slot goes while all that changes is planned.
            Bug::ForgottenSend => 1,
            _ => STRIKES_ONE_IN,
        };
        self.bug == Some(bug) && self.roll(one_in)
    }

    fn provokes(&self, place: &'static str) -> bool {
        // Half of the places in each seed, so that one provoked path does not hide another.
        let is_chosen = xxh3_64_with_seed(place.as_bytes(), self.seed.0).is_multiple_of(2);
        let is_provoked =
            is_chosen && self.stormy.load(Ordering::Relaxed) && self.roll(PROVOKES_ONE_IN);
        if is_provoked {
            sometimes!("a-rare-path-was-provoked");
        }
        is_provoked
    }
}

/// A bug that struck at every visit would be found by the first call; a real one hides.
const STRIKES_ONE_IN: u32 = 16;

/// How rare a rare path stays, where it is provoked.
const PROVOKES_ONE_IN: u32 = 32;
