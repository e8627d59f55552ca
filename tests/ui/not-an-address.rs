use callboard::prelude::*;
use std::error::Error;

pub async fn parsed() -> Result<Node, Box<dyn Error>> {
    Ok(Node::builder().listen("127.0.0.1:4001".parse()?).start().await?)
}

pub async fn number() -> Result<Node, StartError> {
    Node::builder().listen(4001).start().await
}

pub async fn one_for_several() -> Result<Node, StartError> {
    Node::builder().seeds("127.0.0.1:4001").start().await
}

pub async fn several_for_one() -> Result<Client, StartError> {
    Client::connect(vec!["127.0.0.1:4001", "127.0.0.1:4002"]).await
}

fn main() {}
