use callboard::prelude::*;

mod greeter {
    use callboard::prelude::*;

    #[derive(Default, Service)]
    pub struct Greeter;
}

// The ref is looked up beside the type as it is written here: `greeter::Greeter` would find
// `greeter::GreeterRef`, and so would an import of both.
use greeter::Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }
}

fn main() {}
