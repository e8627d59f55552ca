//! Fuzzes `checks::bodies`.
#![no_main]

use callboard_fuzz::{checks::bodies::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
