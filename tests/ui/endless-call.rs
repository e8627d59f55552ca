use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Clock;

#[handlers]
impl Clock {
    #[handler(timeout = "none")]
    pub async fn next_tick(&self) -> u32 {
        1
    }
}
// ANCHOR_END: wrong

fn main() {}
