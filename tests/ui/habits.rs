use callboard::prelude::*;
use std::{error::Error, time::Duration};

#[derive(Default, Actor)]
pub struct Till {
    sum: u32,
}

#[handlers]
impl Till {
    pub fn close(&mut self, ctx: &Ctx<Self>) -> u32 {
        ctx.terminate();
        self.sum
    }

    pub fn again(&mut self, ctx: &Ctx<Self>) {
        ctx.run_later(Duration::from_secs(1), |till, _| till.sum += 1);
    }

    pub fn reply(&mut self, ctx: &Ctx<Self>) {
        ctx.sender().tell(self.sum);
        ctx.address();
    }
}

pub async fn node() -> Result<(), Box<dyn Error>> {
    let node = Node::builder()
        .bind("127.0.0.1:4001")
        .join("127.0.0.1:4002")
        .tls("node.pem", "node.key")
        .start()
        .await?;
    println!("{} {} {}", node.address(), node.addr(), node.port());
    node.run().await;
    node.shutdown().await;
    Ok(())
}

pub async fn client() -> Result<(), Box<dyn Error>> {
    let client = Client::builder().seed("127.0.0.1:4001").start().await?;
    client.stop().await;
    Ok(())
}

fn main() {}
