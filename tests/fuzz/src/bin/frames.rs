//! Fuzzes `checks::frames`.
#![no_main]

use callboard_fuzz::{checks::frames::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
