use callboard::prelude::*;

// ANCHOR: right
#[contract(key = String)]
pub trait Carts {
    fn items(&self) -> u32;
}
// ANCHOR_END: right
