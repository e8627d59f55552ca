// The smallest program: one node, one service, one call.
//
//     cargo run --example greeter

// ANCHOR: all
use callboard::prelude::*;

// ANCHOR: service
#[derive(Default, Service)]
struct Greeter;

#[handlers]
impl Greeter {
    /// Says hello.
    #[handler(idempotent)]
    pub async fn say_hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}
// ANCHOR_END: service

// ANCHOR: main
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let node = Node::builder().host::<Greeter>().start().await?;
    let hello = node.service::<Greeter>().say_hello("Ada").await?;
    println!("{hello}");
    node.stop().await;
    Ok(())
}
// ANCHOR_END: main
// ANCHOR_END: all
