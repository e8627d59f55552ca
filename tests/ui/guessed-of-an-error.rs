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

    pub fn take(&mut self, count: u32) -> Result<u32, String> {
        self.sum.checked_sub(count).ok_or("too few".to_owned())
    }
}

pub async fn ring(till: TillRef) {
    if let Err(error) = till.ring(5).await {
        if error.is_timeout() {
            println!("late");
        }
        println!("{:?}", error.kind());
    }
    if let Err(error) = till.take(5).await {
        println!("{}", error.is_timeout());
    }
}

fn main() {}
