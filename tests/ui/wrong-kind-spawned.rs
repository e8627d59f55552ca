use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Desk;

#[handlers]
impl Desk {
    pub fn ring(&self, amount: u32) -> u32 {
        amount
    }
}

pub fn spawn(node: &Node) {
    let _ = node.spawn::<Desk>();
}

fn main() {}
