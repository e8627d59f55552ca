use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart {
    items: u32,
}

#[handlers]
impl Cart {
    #[handler(activate, idempotent)]
    fn load(&mut self) {
        self.items = 1;
    }

    pub fn items(&self) -> u32 {
        self.items
    }
}
// ANCHOR_END: wrong

fn main() {}
