use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn name(&self, ctx: &Ctx<Self>) -> String {
        format!("till {}", ctx.key())
    }
}

fn main() {}
