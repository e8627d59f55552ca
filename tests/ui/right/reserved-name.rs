use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn digest(&self, text: String) -> u64 {
        text.len() as u64
    }
}
// ANCHOR_END: right
