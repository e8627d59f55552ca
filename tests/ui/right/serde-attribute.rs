use callboard::prelude::*;

// ANCHOR: right
#[derive(Wire)]
pub struct Greeting {
    name: String,
}
// ANCHOR_END: right
