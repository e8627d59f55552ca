use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }

    #[handler(name = "hello")]
    pub fn hello_again(&self) -> u32 {
        2
    }
}
// ANCHOR_END: wrong

fn main() {}
