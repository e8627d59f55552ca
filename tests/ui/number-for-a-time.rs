use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self) -> String {
        "hello".to_string()
    }
}

pub async fn greet(greeter: GreeterRef) -> Result<String, CallError> {
    greeter.hello().timeout(5).await
}

fn main() {}
