use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
pub struct Counter {
    count: u32,
}

#[handlers]
impl Counter {
    pub fn count(&self) -> u32 {
        self.count
    }
}
// ANCHOR_END: right
