use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn show<T: ToString>(&self, value: T) -> String {
        value.to_string()
    }
}
// ANCHOR_END: wrong

fn main() {}
