use callboard::prelude::*;

#[derive(Default, Service)]
#[derive(Actor)]
pub struct Counter {
    count: u32,
}

#[handlers]
impl Counter {
    pub fn count(&self) -> u32 {
        self.count
    }
}

pub fn start(node: &Node) -> CounterRef {
    node.spawn::<Counter>()
}

pub fn inside() {
    #[derive(Default, Actor, Service)]
    struct Local;

    #[handlers]
    impl Local {
        pub fn hello(&self) {}
    }
}

fn main() {}
