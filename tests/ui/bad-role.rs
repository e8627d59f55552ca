use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Orders;

#[handlers]
impl Orders {
    #[handler(allow = "shop admin")]
    pub fn cancel(&self, number: u32) -> bool {
        number > 0
    }
}
// ANCHOR_END: wrong

fn main() {}
