use callboard::prelude::*;
use futures_util::stream;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Clock;

#[handlers]
impl Clock {
    #[handler(timeout = "1m")]
    pub async fn next_tick(&self) -> u32 {
        1
    }

    #[handler(timeout = "none")]
    pub fn ticks(&self) -> impl Stream<Item = u32> + use<> {
        stream::iter([1, 2, 3])
    }
}
// ANCHOR_END: right
