use callboard::prelude::*;

#[derive(Clone, Debug, Wire)]
pub enum NotSold {
    SoldOut,
}

#[derive(Default, Service)]
pub struct Shop;

#[handlers]
impl Shop {
    pub fn buy(&self) -> Result<u32, NotSold> {
        Err(NotSold::SoldOut)
    }
}

pub async fn shop(shop: ShopRef) -> u32 {
    match shop.buy().await {
        Ok(number) => number,
        Err(NotSold::SoldOut) => 0,
    }
}

fn main() {}
