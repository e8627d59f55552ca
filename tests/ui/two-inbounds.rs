use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn mix(&self, _left: Inbound<u32>, _right: Inbound<u32>) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
