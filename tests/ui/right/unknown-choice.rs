use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
#[actor(restart = "always")]
pub struct Room;

#[handlers]
impl Room {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: right
