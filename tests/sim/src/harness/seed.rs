//! One number, and the independent streams of chance that are made from it.
//!
//! Every part of a world draws from a stream of its own, so that a new draw in one part does not
//! move all the others.

use rand::SeedableRng;
use rand::rngs::SmallRng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The number a whole world follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// Returns the stream of chance of the part called `name`.
    pub(crate) fn stream(self, name: &str) -> SmallRng {
        SmallRng::seed_from_u64(xxh3_64_with_seed(name.as_bytes(), self.0))
    }
}
