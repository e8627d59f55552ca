use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Wire)]
pub struct Greeting {
    #[serde(skip)]
    name: String,
}
// ANCHOR_END: wrong

fn main() {}
