use callboard::prelude::*;

// The key is told once, and is a key all the same.
#[derive(Default, Actor)]
#[actor(key = "u64", idle = "1h")]
pub struct Till;

#[handlers]
impl Till {
    pub fn sum(&self) -> u32 {
        1
    }
}

#[derive(Default, Actor)]
#[actor(key(String), idle = "1h")]
pub struct Cart;

#[handlers]
impl Cart {
    pub fn count(&self) -> u32 {
        1
    }
}

pub async fn use_them(node: &Node) -> Result<u32, CallError> {
    let _ = Node::builder().host::<Till>().host::<Cart>();
    let till = node.actor::<Till>(7_u64);
    let cart = node.actor::<Cart>("Ada");
    Ok(till.sum().await? + cart.count().await?)
}

fn main() {}
