//! The small parts of an environment: clocks and chance.

use callboard::env::{Clock, Entropy};
use rand::RngCore;
use rand::rngs::SmallRng;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// The machine's virtual clocks.
#[derive(Debug)]
pub(super) struct VirtualClock {
    /// How far the wall clock of this machine is ahead of the others'.
    pub(super) wall_ahead: Duration,
    /// For how long the machine was suspended since its boot, in nanoseconds.
    pub(super) suspended: Arc<AtomicU64>,
    /// What `now` says at boot.
    pub(super) boot: Instant,
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn since_boot(&self) -> Duration {
        let suspended = Duration::from_nanos(self.suspended.load(Ordering::Relaxed));
        self.now() - self.boot + suspended
    }

    fn wall(&self) -> SystemTime {
        // The C symbol underneath shows simulated time.
        SystemTime::now() + self.wall_ahead
    }
}

/// The machine's own stream of chance.
pub(super) struct SeededEntropy(pub(super) Mutex<SmallRng>);

impl Entropy for SeededEntropy {
    fn fill(&self, buf: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .fill_bytes(buf);
    }
}

impl fmt::Debug for SeededEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeededEntropy")
    }
}
