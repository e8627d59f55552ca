use callboard::{Deactivation, prelude::*};

// ANCHOR: right
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart {
    items: Vec<String>,
}

#[handlers]
impl Cart {
    #[handler(activate)]
    async fn load(&mut self, ctx: &Ctx<Self>) -> Result<(), String> {
        self.items = vec![format!("a gift for {}", ctx.key())];
        Ok(())
    }

    #[handler(deactivate)]
    fn store(&mut self, ctx: &Ctx<Self>, reason: Deactivation) {
        println!("{}: {reason:?} with {:?}", ctx.key(), self.items);
    }

    pub fn items(&self) -> Vec<String> {
        self.items.clone()
    }
}
// ANCHOR_END: right
