use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, name: &str) -> String {
        format!("Hello, {name}!")
    }
}
// ANCHOR_END: wrong

fn main() {}
