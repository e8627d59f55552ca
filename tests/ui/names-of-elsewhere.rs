use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Desk;

#[handlers]
impl Desk {
    pub fn place(&self, ctx: &Ctx<Self>) -> String {
        ctx.node().name()
    }

    pub async fn open(&self, ctx: &Ctx<Self>) {
        ctx.spawn_named::<Till>("first").await.ok();
    }

    pub fn serve(&self, ctx: &Ctx<Self>, till: TillRef) {
        ctx.watch(&till);
        ctx.reply(5);
    }
}

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn ring(&mut self, ctx: &Ctx<Self>) {
        ctx.notify("rung");
        ctx.system();
        ctx.id();
        ctx.notify_later(5, std::time::Duration::from_secs(1));
    }
}

pub async fn seen(till: TillRef) {
    till.watch().await;
    if till.is_alive() {
        println!("it is");
    }
}

pub async fn asked(node: Node) {
    let desk = node.get::<Desk>();
    desk.serve(node.spawn::<Till>()).await.ok();
    node.actor_of::<Till>();
    node.register(Desk);
    Node::builder().add_service(Desk);
}

pub async fn called(till: TillRef, desk: DeskRef) {
    desk.serve(till.clone()).retry(3).await.ok();
    let late = std::time::Duration::from_secs(1);
    desk.serve(till).await.timeout(late).ok();
}

fn main() {}
