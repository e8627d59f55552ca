//! Fuzzes `checks::control`.
#![no_main]

use callboard_fuzz::{checks::control::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
