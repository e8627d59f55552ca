use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, #[cfg(unix)] _name: String) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
