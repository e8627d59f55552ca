use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn ticks(&self) -> impl Stream<Item = Result<u32, String>> + use<> {
        futures_util::stream::iter((0..3).map(Ok))
    }
}
// ANCHOR_END: right
