use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    #[handlers(idempotent)]
    pub fn say_hello(&self, name: String) -> String {
        name
    }
}

fn main() {}
