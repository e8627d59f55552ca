use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn ring(&mut self, amount: u32) -> u32 {
        amount
    }
}

pub fn host() {
    let _ = Node::builder().host::<Till>();
    let _ = Node::builder().host_with(|_| Till);
}

fn main() {}
