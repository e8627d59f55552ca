use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Room;

#[handlers]
impl Room {
    pub fn say(&mut self, text: String) -> usize {
        text.len()
    }
}

// ANCHOR: wrong
pub async fn greet() -> Result<usize, CallError> {
    let room = RoomRef::new();
    room.say("hello").await
}
// ANCHOR_END: wrong

fn main() {}
