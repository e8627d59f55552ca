use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, name: &str) -> String {
        name.to_string()
    }

    pub fn bye(&self, name: String) -> String {
        name
    }
}

pub async fn call(greeter: GreeterRef) -> Result<String, CallError> {
    greeter.bye("Ada").await
}

fn main() {}
