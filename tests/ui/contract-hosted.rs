use callboard::prelude::*;

#[contract]
pub trait Greetings {
    fn hello(&self, name: String) -> String;
}

#[contract(spawned)]
pub trait Counting {
    fn count(&mut self) -> u32;
}

pub fn host() {
    let _ = Node::builder().host::<Greetings>();
}

pub fn spawn(node: &Node) -> CountingRef {
    node.spawn::<Counting>()
}

fn main() {}
