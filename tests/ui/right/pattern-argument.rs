use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn add(&self, pair: (u32, u32)) -> u32 {
        let (a, b) = pair;
        a + b
    }
}
// ANCHOR_END: right
