use callboard::prelude::*;

// ANCHOR: right
#[derive(Wire, serde::Serialize, serde::Deserialize)]
#[wire(opaque = "money/1")]
pub struct Money(u64);
// ANCHOR_END: right
