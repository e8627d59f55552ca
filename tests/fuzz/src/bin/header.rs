//! Fuzzes `checks::header`.
#![no_main]

use callboard_fuzz::{checks::header::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
