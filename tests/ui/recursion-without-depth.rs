use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Wire)]
pub struct Tree {
    children: Vec<Tree>,
}
// ANCHOR_END: wrong

fn main() {}
