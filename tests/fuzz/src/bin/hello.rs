//! Fuzzes `checks::hello`.
#![no_main]

use callboard_fuzz::{checks::hello::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
