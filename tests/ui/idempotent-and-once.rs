use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Wire, Actor)]
#[actor(key = String, persist)]
pub struct Cart;

#[handlers]
impl Cart {
    #[handler(idempotent, once)]
    pub fn add(&mut self) {}
}
// ANCHOR_END: wrong

fn main() {}
