use callboard::prelude::*;
use std::sync::Arc;

// ANCHOR: right
#[derive(Default, Actor)]
pub struct Room {
    topic: Arc<String>,
}

#[handlers]
impl Room {
    pub fn topic(&self) -> String {
        self.topic.to_string()
    }
}
// ANCHOR_END: right
