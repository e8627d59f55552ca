use callboard::prelude::*;

// ANCHOR: right
#[derive(Wire)]
pub enum Number {
    Whole(u64),
    Real(f64),
}
// ANCHOR_END: right
