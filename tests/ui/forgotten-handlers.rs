use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Greeter;

impl Greeter {
    pub fn hello(&self) -> u32 {
        1
    }
}

#[derive(Default, Service)]
pub struct Porter;

#[handlers]
impl Porter {
    pub fn open(&self) -> u32 {
        1
    }

    fn shut(&self) -> u32 {
        2
    }
}

pub async fn call(node: &Node) -> Result<u32, CallError> {
    node.service::<Porter>().shut().await?;
    node.service::<Greeter>().hello().await
}

fn main() {}
