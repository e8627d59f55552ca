use callboard::prelude::*;

// ANCHOR: wrong
pub struct Greeter;

impl Greeter {
    #[handler(idempotent)]
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
