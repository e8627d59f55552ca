use callboard::prelude::*;

#[actor(key = String)]
#[derive(Default, Actor)]
pub struct Cart;

#[handlers]
impl Cart {
    pub fn count(&self) -> u32 {
        1
    }
}

fn main() {}
