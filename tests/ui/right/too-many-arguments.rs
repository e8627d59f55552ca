use callboard::prelude::*;

// ANCHOR: right
#[derive(Wire)]
pub struct Colours {
    pub values: Vec<u8>,
}

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn paint(&self, _colours: Colours) {}
}
// ANCHOR_END: right
