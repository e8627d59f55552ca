use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, name: String) -> String {
        name
    }
}

pub async fn greet(greeter: &GreeterRef) -> Result<String, CallError> {
    let hello: String = greeter.hello("Ada");
    if greeter.hello("Ada") == "Ada" {
        println!("{hello}");
    }
    greeter.hello("Ada")
}

fn main() {}
