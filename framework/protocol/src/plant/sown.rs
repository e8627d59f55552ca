//! The plant of the tests: at most one mistake is in it.

use super::Mistake;

/// Says which mistake is planted, if any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plant(Option<Mistake>);

impl Plant {
    pub(crate) const NONE: Self = Self(None);

    pub(crate) fn of(mistake: Option<Mistake>) -> Self {
        Self(mistake)
    }

    pub(crate) fn has(self, mistake: Mistake) -> bool {
        self.0 == Some(mistake)
    }
}
