use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn say_hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}

pub async fn greet(greeter: GreeterRef) -> Result<String, CallError> {
    let hello = greeter.say_hello("Ada")?;
    Ok(hello)
}

fn main() {}
