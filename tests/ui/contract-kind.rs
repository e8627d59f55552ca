use callboard::prelude::*;

// ANCHOR: wrong
#[contract(key = String)]
pub trait Carts {
    fn items(&self) -> u32;
}

#[derive(Default, Service)]
#[service(contract = Carts)]
pub struct Cart;

#[handlers(contract = Carts)]
impl Cart {
    pub fn items(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
