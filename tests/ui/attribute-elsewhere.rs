use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[service(mailbox = 10)]
impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }
}

fn main() {}
