use callboard::prelude::*;

// An actor is sent as its ref.
#[derive(Default, Actor)]
pub struct Crane {
    load: u32,
}

#[handlers]
impl Crane {
    pub fn load(&self) -> u32 {
        self.load
    }
}

#[derive(Default, Service)]
pub struct Yard;

#[handlers]
impl Yard {
    pub fn enlist(&self, crane: Crane) -> u32 {
        crane.load
    }
}

#[derive(Default, Service)]
pub struct Office;

#[handlers]
impl Office {
    pub fn free(&self) -> Option<Crane> {
        None
    }
}

fn main() {}
