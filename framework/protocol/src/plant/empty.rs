//! The plant of the product: nothing is in it.

use super::Mistake;

/// Says that no mistake is planted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plant;

impl Plant {
    pub(crate) const NONE: Self = Self;

    #[inline]
    #[expect(
        clippy::unused_self,
        reason = "the plant of the tests has something to look at"
    )]
    pub(crate) const fn has(self, _: Mistake) -> bool {
        false
    }
}
