use callboard::prelude::*;
use std::error::Error;

// ANCHOR: right
pub async fn node() -> Result<Node, Box<dyn Error>> {
    Ok(Node::builder().listen("127.0.0.1:4001").start().await?)
}
// ANCHOR_END: right
