use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart {
    items: Vec<String>,
}

#[handlers]
impl Cart {
    #[handler(activate)]
    async fn load(&mut self, items: Vec<String>) {
        self.items = items;
    }

    pub fn items(&self) -> Vec<String> {
        self.items.clone()
    }
}
// ANCHOR_END: wrong

fn main() {}
