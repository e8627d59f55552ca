use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    #[handler(idempotent)]
    pub fn new() -> Self {
        Self
    }

    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
