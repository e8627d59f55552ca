use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn mix(&self, _items: Inbound<(bool, u32)>) -> u32 {
        1
    }
}
// ANCHOR_END: right
