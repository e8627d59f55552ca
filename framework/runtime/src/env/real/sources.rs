//! Clocks, randomness and blocking work.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::env;
use crate::task;

/// The system's clocks.
#[derive(Debug)]
pub(crate) struct Clock;

impl env::Clock for Clock {
    fn now(&self) -> Instant {
        // Tokio's clock is the system's, unless a test has paused it, and then its timers and
        // this clock have to agree.
        tokio::time::Instant::now().into_std()
    }

    fn since_boot(&self) -> Duration {
        let read = clock_gettime(BOOT);
        // The kernel gives neither a negative time of this clock nor a whole second of nanoseconds.
        let (secs, nanos) = (u64::try_from(read.tv_sec), u32::try_from(read.tv_nsec));
        Duration::new(secs.unwrap_or_default(), nanos.unwrap_or_default())
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The kernel's generator, asked for some bytes in advance: a system call for each balancing
/// decision would cost more than the decision.
#[derive(Default)]
pub(crate) struct Entropy {
    pool: Mutex<Pool>,
}

struct Pool {
    bytes: [u8; POOL_BYTES],
    left: usize,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            bytes: [0; POOL_BYTES],
            left: 0,
        }
    }
}

impl env::Entropy for Entropy {
    fn fill(&self, buf: &mut [u8]) {
        if buf.len() > POOL_BYTES / 4 {
            return from_kernel(buf);
        }
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.left < buf.len() {
            from_kernel(&mut pool.bytes);
            pool.left = POOL_BYTES;
        }
        let end = pool.left;
        pool.left -= buf.len();
        let start = pool.left;
        buf.copy_from_slice(&pool.bytes[start..end]);
        // A byte is given out once and is not left behind in memory.
        pool.bytes[start..end].fill(0);
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entropy").finish_non_exhaustive()
    }
}

fn from_kernel(buf: &mut [u8]) {
    getrandom::fill(buf).expect("the kernel gives random bytes once it has booted");
}

/// Tokio's pool of blocking threads.
#[derive(Debug)]
pub(crate) struct Blocking;

impl env::Blocking for Blocking {
    fn run(&self, name: &'static str, job: env::Job) {
        task::run_blocking(name, job);
    }

    fn run_beside(&self, name: &'static str, job: env::Job) -> bool {
        task::run_beside(name, job)
    }
}

const POOL_BYTES: usize = 256;

/// The clock that runs while the machine is suspended; see `clock_gettime(2)` of Linux.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "openbsd"))]
const BOOT: ClockId = ClockId::Boottime;

/// On macOS this is the one that runs while the machine sleeps, other than the one of `Instant`. Elsewhere
/// it is what there is.
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd")))]
const BOOT: ClockId = ClockId::Monotonic;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::{Clock as _, Entropy as _};

    #[test]
    fn the_clock_of_leases_goes_on() {
        let before = Clock.since_boot();
        let from = Instant::now();
        std::thread::yield_now();
        let gone = from.elapsed();
        let after = Clock.since_boot();
        assert!(after >= before + gone, "{after:?}, {before:?} + {gone:?}");
    }

    #[test]
    fn random_bytes_differ_across_refills_and_sizes() {
        let entropy = Entropy::default();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            assert!(seen.insert(entropy.next_u64()), "a number came twice");
        }
        let mut large = [0; 1000];
        entropy.fill(&mut large);
        assert!(large.iter().any(|byte| *byte != 0));
    }
}
