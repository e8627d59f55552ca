use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till;

#[handlers]
impl Till {
    pub fn sum(&self) -> u32 {
        1
    }
}

pub fn print_sum(till: TillRef) {
    tokio::spawn(async { println!("{:?}", till.sum().await) });
}

fn main() {}
