use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn show(&self, value: u64) -> String {
        value.to_string()
    }
}
// ANCHOR_END: right
