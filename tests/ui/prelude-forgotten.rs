use callboard::Node;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }
}

pub fn host() {
    let _ = Node::builder().host::<Greeter>();
}

fn main() {}
