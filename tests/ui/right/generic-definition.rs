use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Cache {
    items: Vec<String>,
}

#[handlers]
impl Cache {
    pub fn len(&self) -> u64 {
        self.items.len() as u64
    }
}
// ANCHOR_END: right
