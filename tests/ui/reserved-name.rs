use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hash(&self, text: String) -> u64 {
        text.len() as u64
    }
}
// ANCHOR_END: wrong

fn main() {}
