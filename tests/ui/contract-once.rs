use callboard::prelude::*;

#[contract(key = String)]
pub trait Carts {
    #[handler(once)]
    fn add(&mut self);
}

#[derive(Default, Actor)]
#[actor(contract = Carts)]
pub struct Cart;

#[handlers(contract = Carts)]
impl Cart {
    pub fn add(&mut self) {}
}

fn main() {}
