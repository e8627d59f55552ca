use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn say_hello(&self, name: String) -> String {
        self.with_dots(&name)
    }

    fn with_dots(&self, name: &str) -> String {
        format!("Hello, {name} …")
    }
}

pub async fn greet(node: &Node) -> Result<String, CallError> {
    println!("{}", node.address());
    node.service::<Greeter>().with_dots("Ada").await
}

fn main() {}
