use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till {
    sum: u32,
}

#[handlers]
impl Till {
    pub fn ring(&mut self, amount: u32) -> u32 {
        self.sum += amount;
        self.sum
    }
}

// ANCHOR: wrong
pub async fn open(client: &Client) -> Result<u32, CallError> {
    let till = client.spawn::<Till>();
    till.ring(5u32).await
}
// ANCHOR_END: wrong

fn main() {}
