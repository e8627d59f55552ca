use callboard::prelude::*;
use std::collections::BTreeMap;

// ANCHOR: right
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart {
    counts: BTreeMap<String, u32>,
}

#[handlers]
impl Cart {
    /// Running it twice leaves the same cart, which `add` would not.
    #[handler(idempotent)]
    pub fn set(&mut self, sku: String, count: u32) {
        self.counts.insert(sku, count);
    }
}
// ANCHOR_END: right
