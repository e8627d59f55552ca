use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, name: String, _ctx: &Ctx<Self>) -> String {
        name
    }
}
// ANCHOR_END: wrong

fn main() {}
