use callboard::prelude::*;

#[derive(Debug, Wire)]
pub enum SoldOut {
    Until(u32),
}

#[derive(Default, Actor)]
pub struct Stock;

#[handlers]
impl Stock {
    pub fn take(&mut self, count: u32) -> Result<u32, SoldOut> {
        Err(SoldOut::Until(count))
    }
}

#[derive(Default, Service)]
pub struct Shop;

#[handlers]
impl Shop {
    pub async fn buy(&self, stock: StockRef, count: u32) -> Result<u32, HandlerError<SoldOut>> {
        Ok(stock.take(count).await?)
    }
}

fn main() {}
