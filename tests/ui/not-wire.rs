use callboard::prelude::*;

// ANCHOR: wrong
pub struct Name(String);

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, name: Name) -> String {
        name.0
    }
}
// ANCHOR_END: wrong

fn main() {}
