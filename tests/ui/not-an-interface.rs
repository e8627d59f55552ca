use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

pub fn host() {
    let _ = Node::builder().host::<Greeter>();
}
// ANCHOR_END: wrong

fn main() {}
