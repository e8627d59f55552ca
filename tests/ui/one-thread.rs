use callboard::prelude::*;
use std::rc::Rc;

// ANCHOR: wrong
#[derive(Default, Actor)]
pub struct Room {
    topic: Rc<String>,
}
// ANCHOR_END: wrong

fn main() {}
