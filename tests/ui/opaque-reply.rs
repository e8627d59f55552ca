use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn name(&self) -> impl ToString + use<> {
        "greeter"
    }
}
// ANCHOR_END: wrong

fn main() {}
