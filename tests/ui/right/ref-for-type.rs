use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Canteen;

#[handlers]
impl Canteen {
    pub fn order(&self, dish: String) -> String {
        dish
    }
}

// ANCHOR: right
pub async fn order(node: &Node) -> Result<String, CallError> {
    node.service::<Canteen>().order("soup").await
}
// ANCHOR_END: right
