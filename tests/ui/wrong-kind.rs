use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn ring(&mut self, amount: u32) -> u32 {
        amount
    }
}

pub fn reach(node: &Node) {
    let _ = node.service::<Till>();
}
// ANCHOR_END: wrong

fn main() {}
