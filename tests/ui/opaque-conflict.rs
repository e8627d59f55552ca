use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Wire, serde::Serialize, serde::Deserialize)]
#[wire(opaque = "money/1", depth = 32)]
pub struct Money(u64);
// ANCHOR_END: wrong

fn main() {}
