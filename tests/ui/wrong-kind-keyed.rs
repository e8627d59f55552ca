use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Desk;

#[handlers]
impl Desk {
    pub fn ring(&self, amount: u32) -> u32 {
        amount
    }
}

pub fn reach(client: &Client) {
    let _ = client.actor::<Desk>("north");
}

fn main() {}
