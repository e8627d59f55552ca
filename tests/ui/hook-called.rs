use callboard::prelude::*;

#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart;

#[handlers]
impl Cart {
    #[handler(activate)]
    pub async fn load(&mut self) {}

    pub fn items(&self) -> u32 {
        1
    }
}

pub async fn call(node: &Node) {
    let _ = node.actor::<Cart>("ada").load().await;
}

fn main() {}
