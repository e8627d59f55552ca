use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till {
    sum: u32,
}

#[handlers]
impl Till {
    pub fn ring(&mut self, ctx: &mut Context<Self>, count: u32) -> u32 {
        self.sum += count;
        self.sum
    }

    pub fn sum(&self, _ctx: &ActorContext) -> u32 {
        self.sum
    }

    pub fn context(&self) -> &Ctx<Self> {
        todo!()
    }
}

pub async fn call(till: TillRef) -> Result<u32, CallError> {
    till.ring(1).await?;
    till.sum().await
}

fn main() {}
