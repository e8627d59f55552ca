use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Orders;

#[handlers]
impl Orders {
    #[handler(allow = "shop-admin, ops")]
    pub fn cancel(&self, number: u32) -> bool {
        number > 0
    }
}
// ANCHOR_END: right
