use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
#[service(name = "callboard.orders")]
pub struct Orders;

#[handlers]
impl Orders {
    pub fn count(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
