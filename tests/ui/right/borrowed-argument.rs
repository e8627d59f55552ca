use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}
// ANCHOR_END: right
