use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
pub struct Greeter;

#[handlers]
impl Greeter {
    #[handler(deactivate)]
    fn close(&self) {}

    pub fn greet(&self) -> String {
        "hello".to_string()
    }
}
// ANCHOR_END: right
