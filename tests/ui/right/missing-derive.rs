use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Actor)]
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
// ANCHOR_END: right
