use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn name(&self) -> String {
        "greeter".to_string()
    }
}
// ANCHOR_END: right
