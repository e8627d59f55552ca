use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Till {
    sum: u32,
}

#[handlers]
impl Till {
    pub fn ring(&mut self, count: u32) -> u32 {
        self.sum += count;
        self.sum
    }
}

pub async fn stopped(till: TillRef) {
    till.stop();
}

pub async fn awaited(till: TillRef) {
    till.stop().await;
}

fn main() {}
