//! Fuzzes `checks::cluster`.
#![no_main]

use callboard_fuzz::{checks::cluster::TARGET, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| run(&TARGET, bytes));
