use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn sum(&self, _items: Option<Inbound<u32>>) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
