use callboard::prelude::*;

// ANCHOR: wrong
pub fn node() -> Node {
    Node::new()
}
// ANCHOR_END: wrong

fn main() {}
