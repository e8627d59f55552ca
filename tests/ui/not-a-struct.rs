use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Actor)]
pub enum Door {
    Open,
    Shut,
}

#[handlers]
impl Door {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
