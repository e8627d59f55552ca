use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn sum(&self, _items: Inbound<u32>) -> u32 {
        1
    }
}
// ANCHOR_END: right
