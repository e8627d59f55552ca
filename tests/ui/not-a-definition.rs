use callboard::prelude::*;

// ANCHOR: wrong
pub struct Greeter;

pub fn handle(node: &Node) {
    let _ = node.service::<Greeter>();
}
// ANCHOR_END: wrong

fn main() {}
