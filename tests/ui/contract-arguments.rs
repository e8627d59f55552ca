use callboard::prelude::*;

#[contract]
pub trait Greetings {
    fn hello(&self, name: String, times: u32) -> String;
}

#[derive(Default, Service)]
#[service(contract = Greetings)]
pub struct Greeter;

#[handlers(contract = Greetings)]
impl Greeter {
    pub fn hello(&self, name: String) -> String {
        name
    }
}

fn main() {}
