use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(backoff = "10s..100ms")]
pub struct Room;

#[handlers]
impl Room {
    pub fn hello(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
