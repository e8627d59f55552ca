use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart {
    items: u32,
}

#[handlers]
impl Cart {
    #[handler(activate)]
    fn load(&mut self) {
        self.items = 1;
    }

    #[handler(activate)]
    fn count(&self) {}

    pub fn items(&self) -> u32 {
        self.items
    }
}
// ANCHOR_END: wrong

fn main() {}
