use callboard::prelude::*;

#[derive(Default)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }
}

fn main() {}
