//! Fuzzes `checks::slots`.
#![no_main]

use callboard_fuzz::{checks::slots::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
