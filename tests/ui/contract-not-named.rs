use callboard::{contract, prelude::*};

#[contract]
pub trait Greetings {
    fn hello(&self) -> String;
}

#[derive(Default, Service)]
#[service(contract = Greetings)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> String {
        "hello".to_string()
    }
}

fn main() {}
