use callboard::prelude::*;
use std::time::Duration;

#[derive(Default, Service)]
pub struct Desk;

#[handlers]
impl Desk {
    pub fn close(&self, ctx: &Ctx<Self>) {
        ctx.stop(Duration::from_secs(1));
    }
}

#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Drawer;

#[handlers]
impl Drawer {
    pub fn close(&mut self, ctx: &Ctx<Self>) {
        ctx.stop(Duration::from_secs(1));
    }
}

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn close(&mut self, ctx: &Ctx<Self>, drawer: DrawerRef) {
        ctx.stop_child(&drawer);
        ctx.stop(Duration::from_secs(1));
    }
}

fn main() {}
