use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(idle = "10m")]
pub struct Room;

#[handlers]
impl Room {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
