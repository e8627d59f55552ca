use callboard::prelude::*;

// ANCHOR: right
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
        self.count();
    }

    fn count(&self) {}

    pub fn items(&self) -> u32 {
        self.items
    }
}
// ANCHOR_END: right
