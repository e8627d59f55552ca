use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
#[service(name = "orders")]
pub struct Orders;

#[handlers]
impl Orders {
    pub fn count(&self) -> u32 {
        1
    }
}
// ANCHOR_END: right
