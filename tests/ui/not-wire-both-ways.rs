use callboard::prelude::*;

pub struct Name(String);

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    /// One type, one error: as an argument and as the reply.
    pub fn correct(&self, name: Name) -> Name {
        name
    }
}

fn main() {}
