use callboard::prelude::*;

// ANCHOR: wrong
#[contract(key = String)]
pub trait Carts {
    const LIMIT: u32;
    fn items(&self) -> u32;
}
// ANCHOR_END: wrong

fn main() {}
