use callboard::prelude::*;

#[derive(Default, Actor)]
#[actor(key = &str)]
pub struct Cart {
    items: u32,
}

#[handlers]
impl Cart {
    pub fn items(&self) -> u32 {
        self.items
    }
}

pub async fn count(node: &Node) -> Result<u32, CallError> {
    node.actor::<Cart>("alice").items().await
}

fn main() {}
