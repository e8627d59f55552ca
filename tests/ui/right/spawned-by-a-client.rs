use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till {
    sum: u32,
}

#[handlers]
impl Till {
    pub fn ring(&mut self, amount: u32) -> u32 {
        self.sum += amount;
        self.sum
    }
}

// ANCHOR: right
#[derive(Default, Service)]
pub struct Shop;

#[handlers]
impl Shop {
    pub fn open_till(&self, ctx: &Ctx<Self>) -> TillRef {
        ctx.spawn::<Till>()
    }
}

pub async fn open(client: &Client) -> Result<u32, CallError> {
    let till = client.service::<Shop>().open_till().await?;
    till.ring(5u32).await
}
// ANCHOR_END: right
