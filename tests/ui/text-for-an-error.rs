use callboard::prelude::*;
use std::error::Error;

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn ring(&mut self, amount: u32) -> Result<u32, String> {
        amount.checked_mul(100).ok_or("too much".to_string())
    }
}

pub async fn ring(till: &TillRef) -> Result<u32, Box<dyn Error>> {
    Ok(till.ring(5u32).await?)
}

fn main() {}
