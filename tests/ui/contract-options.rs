use callboard::prelude::*;

// ANCHOR: wrong
#[contract(key = String)]
pub trait Carts {
    fn items(&self) -> u32;
}

#[derive(Default, Actor)]
#[actor(contract = Carts)]
pub struct Cart;

#[handlers(contract = Carts)]
impl Cart {
    #[handler(idempotent)]
    pub fn items(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
