use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
#[service(name = "my greeter")]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
