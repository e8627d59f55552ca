use callboard::prelude::*;
use std::rc::Rc;

// ANCHOR: wrong
#[derive(Default, Actor)]
pub struct Room {
    topic: Rc<String>,
}

#[handlers]
impl Room {
    pub fn topic(&self) -> String {
        self.topic.to_string()
    }
}
// ANCHOR_END: wrong

fn main() {}
