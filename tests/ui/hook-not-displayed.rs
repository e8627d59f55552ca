use callboard::prelude::*;

#[derive(Debug)]
pub struct Refused;

#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Cart;

#[handlers]
impl Cart {
    #[handler(activate)]
    async fn load(&mut self) -> Result<(), Refused> {
        Err(Refused)
    }

    pub fn items(&self) -> u32 {
        1
    }
}

fn main() {}
