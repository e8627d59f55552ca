use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor, Service)]
pub struct Counter {
    count: u32,
}

#[handlers]
impl Counter {
    pub fn count(&self) -> u32 {
        self.count
    }
}
// ANCHOR_END: wrong

fn main() {}
