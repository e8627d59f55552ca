//! What of a value can be shared with whoever sends it, instead of copied.

use std::fmt;

/// From here on a text or byte string travels as a part of its own where it can. Below, a copy costs
/// less.
pub const LONG_BYTES_MIN: usize = 16 << 10;

/// Bytes that somebody else holds too.
pub struct Shared(Box<dyn AsRef<[u8]> + Send + Sync>);

/// Takes what can be shared.
pub trait Lender {
    /// Takes a long byte string of a value.
    fn take(&mut self, shared: Shared);
}

impl Shared {
    /// Wraps what holds the bytes; its reference to them may not change while it moves.
    pub fn new(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(Box::new(owner))
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&self.as_ref().len()).finish()
    }
}
