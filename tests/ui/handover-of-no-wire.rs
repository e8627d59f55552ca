use callboard::prelude::*;

#[derive(Default, Actor)]
#[actor(key = String, handover)]
pub struct Cart {
    items: Vec<String>,
}

#[handlers]
impl Cart {
    pub fn list(&self) -> Vec<String> {
        self.items.clone()
    }
}

fn main() {}
