use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Canteen;

#[handlers]
impl Canteen {
    pub fn order(&self, dish: String) -> String {
        dish
    }
}

// ANCHOR: wrong
pub async fn order(node: &Node) -> Result<String, CallError> {
    node.service::<CanteenRef>().order("soup").await
}
// ANCHOR_END: wrong

fn main() {}
