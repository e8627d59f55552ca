use callboard::prelude::*;
use std::error::Error;

pub async fn node() -> Result<Node, Box<dyn Error>> {
    Ok(Node::builder().port(4001).build().await?)
}

pub async fn client() -> Result<Client, Box<dyn Error>> {
    Ok(Client::builder().seed("127.0.0.1:4001").build().await?)
}

pub fn other_client() -> Client {
    Client::new()
}

fn main() {}
