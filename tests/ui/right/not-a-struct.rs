use callboard::prelude::*;

// ANCHOR: right
#[derive(Default)]
pub enum State {
    #[default]
    Open,
    Shut,
}

#[derive(Default, Actor)]
pub struct Door {
    state: State,
}

#[handlers]
impl Door {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: right
