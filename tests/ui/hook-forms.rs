use callboard::{Deactivation, prelude::*};

#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart;

#[handlers]
impl Cart {
    #[handler(activate)]
    fn by_value(self) {}

    #[handler(deactivate)]
    unsafe fn last(&mut self, reason: &Deactivation) -> Result<(), String> {
        Ok(())
    }

    pub fn items(&self) -> u32 {
        1
    }
}

#[derive(Default, Actor)]
pub struct Room;

#[handlers]
impl Room {
    #[handler(activate)]
    fn without() -> u32 {
        1
    }

    #[handler(deactivate)]
    fn generic<T>(&mut self, ctx: &Ctx<Cart>, reason: Deactivation, again: Deactivation) {}

    pub fn members(&self) -> u32 {
        1
    }
}

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    #[handler(activate, deactivate)]
    fn both(&mut self) {}

    #[handler(deactivate, skip, timeout = "1s", name = "x")]
    fn never(&mut self) {}

    pub fn sum(&self) -> u32 {
        1
    }
}

#[contract(key = String)]
pub trait Carts {
    #[handler(activate)]
    fn load(&mut self);

    fn items(&self) -> u32;
}

fn main() {}
