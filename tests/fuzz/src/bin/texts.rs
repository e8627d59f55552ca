//! Fuzzes `checks::texts`.
#![no_main]

use callboard_fuzz::{checks::texts::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
