use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }
}

pub async fn call(node: &Node) -> Result<u32, CallError> {
    node.service::<Greeter>().hello().await
}

pub fn host() {
    let _ = Node::builder().host::<Greeter>();
}

fn main() {}
