use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Wire)]
pub union Number {
    whole: u64,
    real: f64,
}
// ANCHOR_END: wrong

fn main() {}
