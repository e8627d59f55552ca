use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Service)]
pub struct Cache<T> {
    items: Vec<T>,
}
// ANCHOR_END: wrong

fn main() {}
