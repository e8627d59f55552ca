//! Fuzzes `checks::certificates`.
#![no_main]

use callboard_fuzz::{checks::certificates::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
