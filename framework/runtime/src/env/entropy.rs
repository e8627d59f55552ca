//! Random bytes.

use std::fmt::Debug;

/// Gives random bytes.
///
/// Keys that protect traffic come from the TLS library's own source, which asks the kernel; what
/// comes from here seeds connection ids, reset keys, back-off jitter and balancing.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills `buf` with random bytes.
    ///
    /// In production they have to be unpredictable to an attacker.
    fn fill(&self, buf: &mut [u8]);

    /// Returns a random number, each value equally likely.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}
