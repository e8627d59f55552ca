use callboard::prelude::*;

// ANCHOR: right
#[derive(Wire)]
#[wire(depth = 32)]
pub struct Tree {
    children: Vec<Tree>,
}
// ANCHOR_END: right
