use callboard::prelude::*;

// ANCHOR: wrong
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

pub fn open(node: &Node) -> RoomRef {
    node.spawn::<Room>()
}
// ANCHOR_END: wrong

fn main() {}
