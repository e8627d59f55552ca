use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
pub struct Room {
    members: u32,
}

#[handlers]
impl Room {
    pub fn count(&mut self) -> u32 {
        self.members += 1;
        self.members
    }
}
// ANCHOR_END: right
