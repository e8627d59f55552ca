use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart;

#[handlers]
impl Cart {
    #[handler(once)]
    pub fn add(&mut self) {}
}
// ANCHOR_END: wrong

fn main() {}
