use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Shop;

#[handlers]
impl Shop {
    pub fn price(&self, sku: String) -> u32 {
        sku.len() as u32
    }

    pub fn price(&self, sku: String, count: u32) -> u32 {
        sku.len() as u32 * count
    }
}

#[contract]
pub trait Tills {
    fn open(&self) -> bool;
    fn open(&self, amount: u32) -> bool;
}

pub async fn prices(shop: ShopRef, tills: TillsRef) -> Result<u32, CallError> {
    tills.open().await?;
    shop.price("tea").await
}

fn main() {}
