use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(key = String, labels = "disk: ssd")]
pub struct Archive;

#[handlers]
impl Archive {
    pub fn size(&self) -> u64 {
        0
    }
}
// ANCHOR_END: wrong

fn main() {}
