use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Wire, Actor)]
#[actor(key = String, persist)]
pub struct Cart;

#[handlers]
impl Cart {
    #[handler(once)]
    pub fn add(&mut self) {}
}
// ANCHOR_END: right
