use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(key = String, idle = "10")]
pub struct Room;

#[handlers]
impl Room {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
