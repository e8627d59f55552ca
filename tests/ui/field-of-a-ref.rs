use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till {
    pub sum: u32,
}

#[handlers]
impl Till {
    pub fn ring(&mut self, amount: u32) {
        self.sum += amount;
    }
}

pub fn sum(till: &TillRef) -> u32 {
    till.sum
}

fn main() {}
