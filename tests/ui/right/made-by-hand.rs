use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Room;

#[handlers]
impl Room {
    pub fn say(&mut self, text: String) -> usize {
        text.len()
    }
}

// ANCHOR: right
pub async fn greet(node: &Node) -> Result<usize, CallError> {
    let room = node.spawn::<Room>();
    room.say("hello").await
}
// ANCHOR_END: right
