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

pub async fn sent(till: TillRef) -> Result<u32, CallError> {
    Ok(till.send(5).await?)
}

pub async fn asked(till: &TillRef) -> u32 {
    till.ask(5).await.unwrap()
}

pub async fn told(till: TillRef) {
    till.tell(5).await.unwrap();
    till.do_send(5);
}

fn main() {}
