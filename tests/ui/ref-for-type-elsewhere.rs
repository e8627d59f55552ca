use callboard::prelude::*;

#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart;

#[handlers]
impl Cart {
    pub fn count(&self) -> u32 {
        1
    }
}

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn sum(&self) -> u32 {
        1
    }
}

pub async fn count(client: &Client) -> Result<u32, CallError> {
    client.actor::<CartRef>("Ada").count().await
}

pub async fn sum(node: &Node) -> Result<u32, CallError> {
    node.spawn::<TillRef>().sum().await
}

pub fn host() {
    let _ = Node::builder().host::<CartRef>();
}

pub fn attach(client: &Client, till: Till) {
    client.attach(till);
}

fn main() {}
