use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    #[cfg(unix)]
    pub fn hello(&self, _name: String) -> u32 {
        1
    }

    pub fn always(&self) {}
}
// ANCHOR_END: right
