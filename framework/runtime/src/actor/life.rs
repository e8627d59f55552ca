//! The life of one incarnation: what it started ends with it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Ends once. Every turn looks whether it has, so that look takes no lock, as the token's would.
#[derive(Debug, Default)]
pub(crate) struct Life {
    over: AtomicBool,
    token: CancellationToken,
}

impl Life {
    /// Ends it.
    pub(super) fn end(&self) {
        // BEFORE those that wait are woken: they may look.
        self.over.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Returns whether it has ended.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Waits until it has ended.
    ///
    /// # Cancel safety
    /// May be dropped and called again.
    pub(crate) async fn ended(&self) {
        self.token.cancelled().await;
    }
}
