use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn ring(&mut self, amount: u32) -> u32 {
        amount
    }
}

pub async fn reach(node: &Node) -> Result<u32, CallError> {
    let till = node.spawn::<Till>();
    till.ring(3).await
}
// ANCHOR_END: right
