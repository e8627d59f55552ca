use callboard::prelude::*;

pub async fn end(node: Node) {
    node.stop().await;
    println!("{} has stopped", node.name());
}

fn main() {}
