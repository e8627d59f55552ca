use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till {
    total: u32,
}

#[handlers]
impl Till {
    pub fn clone(&self) -> u32 {
        self.total
    }

    pub fn add(&mut self, amount: u32) -> u32 {
        self.total += amount;
        self.total
    }
}

pub async fn call(till: TillRef) -> Result<u32, CallError> {
    till.add(1).await?;
    till.clone().await
}

fn main() {}
