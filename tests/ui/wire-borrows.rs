use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Wire)]
pub struct Greeting<'a> {
    name: &'a str,
}
// ANCHOR_END: wrong

fn main() {}
