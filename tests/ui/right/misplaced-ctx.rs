use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, _ctx: &Ctx<Self>, name: String) -> String {
        name
    }
}
// ANCHOR_END: right
