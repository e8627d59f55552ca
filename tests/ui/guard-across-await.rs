use std::sync::Mutex;

use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Counter {
    count: Mutex<u32>,
}

#[handlers]
impl Counter {
    pub async fn next(&self) -> u32 {
        let mut count = self.count.lock().unwrap();
        *count += 1;
        std::future::ready(()).await;
        *count
    }
}

fn main() {}
