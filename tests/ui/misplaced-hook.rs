use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    #[handler(deactivate)]
    fn close(&self) {}

    pub fn greet(&self) -> String {
        "hello".to_string()
    }
}
// ANCHOR_END: wrong

fn main() {}
