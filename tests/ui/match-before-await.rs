use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, name: String) -> String {
        name
    }
}

pub async fn greet(greeter: &GreeterRef) {
    match greeter.hello("Ada") {
        Ok(hello) => println!("{hello}"),
        Err(error) => println!("{error}"),
    }
}

fn main() {}
