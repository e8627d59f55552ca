use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
#[actor(placement = "least_loaded")]
pub struct Room {
    guests: u32,
}

#[handlers]
impl Room {
    pub fn enter(&mut self) -> u32 {
        self.guests += 1;
        self.guests
    }
}

pub async fn open(node: &Node) -> Result<RoomRef, CallError> {
    node.spawn_placed::<Room>().await
}
// ANCHOR_END: right
