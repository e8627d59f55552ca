use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(mailbox = 16, mailbox = 32)]
pub struct Room;

#[handlers]
impl Room {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
