//! What has to hold for any bytes: one check for each family of decoders.
//!
//! A check panics where a decoder breaks a promise, and says whether it accepted the bytes. What
//! all promise: no panic, no more memory than allowed, and that what was decoded is encoded and
//! decoded again without a change. The fuzz targets call these checks with bytes of libFuzzer's, the
//! integration tests with the corpora. Depends on the packages under test and on postcard, whose
//! decoder is asked for a second opinion.

pub mod bodies;
pub mod certificates;
pub mod cluster;
pub mod control;
pub mod frames;
pub mod header;
pub mod hello;
pub mod slots;
pub mod texts;

mod types;

/// A check with its name and bytes that it accepts.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of its program and of the folder of its corpus.
    pub name: &'static str,
    /// Checks an input. It returns whether a decoder accepted it.
    pub check: fn(&[u8], Heap) -> bool,
    /// Returns inputs that are accepted, from which a fuzzer begins.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    bodies::TARGET,
    certificates::TARGET,
    cluster::TARGET,
    control::TARGET,
    frames::TARGET,
    header::TARGET,
    hello::TARGET,
    slots::TARGET,
    texts::TARGET,
];

/// Where a check learns what memory was taken.
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// Returns the bytes that are allocated.
    pub live: fn() -> usize,
    /// Returns the most that were allocated since the last reset.
    pub peak: fn() -> usize,
    /// Begins to count anew.
    pub reset: fn(),
}

impl Heap {
    /// For a process whose allocator does not count, and in which other threads allocate.
    pub const UNMEASURED: Self = Self {
        live: || 0,
        peak: || 0,
        reset: || (),
    };

    /// Runs `work`.
    ///
    /// # Panics
    ///
    /// If it took more than this many bytes at once.
    fn within<T>(self, bytes_max: usize, work: impl FnOnce() -> T) -> T {
        (self.reset)();
        let before = (self.live)();
        let result = work();
        let taken = (self.peak)().saturating_sub(before);
        assert!(
            taken <= bytes_max,
            "{taken} bytes were taken, allowed are {bytes_max}"
        );
        result
    }
}
