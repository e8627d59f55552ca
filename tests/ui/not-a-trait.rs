use callboard::prelude::*;

// ANCHOR: wrong
#[contract(key = String)]
pub struct Carts;
// ANCHOR_END: wrong

fn main() {}
