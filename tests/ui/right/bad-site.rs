use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
#[actor(key = String, labels = "disk=ssd", zones = "eu-1, eu-2")]
pub struct Archive;

#[handlers]
impl Archive {
    pub fn size(&self) -> u64 {
        0
    }
}
// ANCHOR_END: right
