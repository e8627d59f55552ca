use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default)]
#[actor(key = String)]
pub struct Cart {
    items: Vec<String>,
}

#[handlers]
impl Cart {
    pub fn add(&mut self, item: String) -> u32 {
        self.items.push(item);
        self.items.len() as u32
    }
}
// ANCHOR_END: wrong

pub async fn add(node: &Node) -> Result<u32, CallError> {
    node.actor::<Cart>("Ada").add("soup").await
}

fn main() {}
