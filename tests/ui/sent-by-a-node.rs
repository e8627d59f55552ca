use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn say_hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}

pub async fn called(node: &Node) -> Result<(), CallError> {
    let hello = node.call::<Greeter>("say_hello", "Ada").await?;
    println!("{hello}");
    Ok(())
}

pub async fn asked(client: Client, greeter: GreeterRef) -> String {
    client.tell(&greeter, "Ada").await;
    client.ask(greeter, "Ada").await.unwrap()
}

fn main() {}
