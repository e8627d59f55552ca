use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn add(&self, (a, b): (u32, u32)) -> u32 {
        a + b
    }
}
// ANCHOR_END: wrong

fn main() {}
