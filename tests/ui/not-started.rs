use callboard::prelude::*;
use std::error::Error;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn say_hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}

pub async fn forgotten() -> Result<(), Box<dyn Error>> {
    let node = Node::builder().host::<Greeter>();
    node.service::<Greeter>().say_hello("Ada").await?;
    node.stop().await;
    let client = Client::builder().seed("127.0.0.1:4001");
    client.service::<Greeter>().say_hello("Ada").await?;
    Ok(())
}

pub fn nodes(node: &Node) {
    println!("{:?}", node.nodes());
}

fn main() {}
