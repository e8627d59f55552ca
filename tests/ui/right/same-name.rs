use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }

    #[handler(name = "hello_again")]
    pub fn hello_2(&self) -> u32 {
        2
    }
}
// ANCHOR_END: right
