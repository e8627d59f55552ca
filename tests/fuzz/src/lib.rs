//! Fuzz targets for every decoder of Callboard: what is common to their programs.
//!
//! A program in `bin` gives libFuzzer one check of [`checks`]. The checks are also run by the
//! integration tests, over the corpora beside this folder.

pub mod checks;

use checks::{Heap, Target};

#[global_allocator]
static ALLOCATOR: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

/// Runs the check of a target over an input, with the memory that it takes.
pub fn run(target: &Target, bytes: &[u8]) {
    let heap = Heap {
        live: || ALLOCATOR.current_usage(),
        peak: || ALLOCATOR.peak_usage(),
        reset: || ALLOCATOR.reset_peak_usage(),
    };
    (target.check)(bytes, heap);
}
