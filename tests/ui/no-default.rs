use callboard::prelude::*;

#[derive(Actor)]
pub struct Till(u64);

#[handlers]
impl Till {
    pub fn ring(&mut self, amount: u64) {
        self.0 += amount;
    }
}

#[derive(Service)]
pub struct Desk(u64);

#[handlers]
impl Desk {
    pub fn number(&self, ctx: &Ctx<Self>) -> u64 {
        ctx.spawn::<Till>();
        self.0
    }
}

pub fn begun(node: &Node) -> TillRef {
    Node::builder().host::<Desk>();
    node.spawn::<Till>()
}

fn main() {}
