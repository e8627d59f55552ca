use callboard::prelude::*;

// Every mistake of an item is reported, and the handler without one still works.
#[derive(Default, Service)]
#[service(mailbox = 0, concurency = 3)]
pub struct Greeter;

#[handlers]
impl Greeter {
    #[handler(idempotent, timeout = "soon")]
    pub fn hash<T>(&self, (_a, _b): (u32, u32), _name: &str) -> &'static str {
        "hash"
    }

    pub fn hello(&self) -> u32 {
        1
    }
}

fn main() {
    let _ = |node: &Node| node.service::<Greeter>().hello();
}
