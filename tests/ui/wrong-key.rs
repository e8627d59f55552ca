use callboard::prelude::*;

#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Pipe;

#[handlers]
impl Pipe {
    pub fn flow(&self, ctx: &Ctx<Self>) {
        let _ = ctx.actor::<Valve>("main");
    }
}

#[derive(Default, Actor)]
#[actor(key = u64)]
pub struct Valve;

#[handlers]
impl Valve {
    pub fn turn(&mut self) {}
}

pub async fn opened(node: Node, client: Client) {
    node.actor::<Pipe>(5).flow().await.ok();
    client.actor::<Valve>("main").turn().await.ok();
    // These are.
    node.actor::<Pipe>("main").flow().await.ok();
    node.actor::<Pipe>(String::from("main")).flow().await.ok();
    node.actor::<Valve>(5_u64).turn().await.ok();
    node.actor::<Valve>(5_u32).turn().await.ok();
}

fn main() {}
