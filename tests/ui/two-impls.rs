use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> String {
        "hello".to_string()
    }
}

#[handlers]
impl Greeter {
    pub fn goodbye(&self) -> String {
        "goodbye".to_string()
    }
}
// ANCHOR_END: wrong

fn main() {}
