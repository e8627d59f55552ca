use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
#[actor(mailbox = 16)]
pub struct Room;

#[handlers]
impl Room {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: right
