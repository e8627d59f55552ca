use callboard::prelude::*;

#[derive(Default, Actor)]
#[actor(max_restarts = 3, capacity = 10, ttl = "10m", durable)]
pub struct Room;

#[handlers]
impl Room {
    #[handler(started)]
    pub fn open(&mut self) {}

    #[handler(retries = 3, deadline = "2s")]
    pub fn hello(&self) -> u32 {
        1
    }
}

fn main() {}
