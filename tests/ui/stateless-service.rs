use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn count(&mut self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
