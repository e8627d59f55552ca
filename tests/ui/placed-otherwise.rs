use callboard::prelude::*;

#[derive(Default, Actor)]
#[actor(placement = "pinned")]
pub struct Bridge;

#[handlers]
impl Bridge {
    pub fn cross(&self) {}
}

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn ring(&mut self) {}

    pub fn build(&self, ctx: &Ctx<Self>) -> BridgeRef {
        ctx.spawn::<Bridge>()
    }
}

#[contract(key = String)]
pub trait Carts {
    fn empty(&mut self);
}

#[derive(Default, Actor)]
#[actor(contract = Carts, placement = "least_loaded")]
pub struct Cart;

pub async fn place(node: &Node) -> Result<(), CallError> {
    node.spawn_placed::<Bridge>().await?;
    node.spawn_placed::<Till>().await?;
    node.spawn_on::<Till>("n2").await?;
    Ok(())
}

fn main() {}
