use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }
}

// ANCHOR: wrong
pub async fn ask(node: &Node) -> u32 {
    node.service::<Greeter>().hello().unwrap()
}
// ANCHOR_END: wrong

fn main() {}
