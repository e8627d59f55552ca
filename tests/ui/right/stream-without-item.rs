use callboard::prelude::*;

// ANCHOR: right
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn ticks(&self) -> impl Stream<Item = u32> + use<> {
        futures_util::stream::iter(0..3)
    }
}
// ANCHOR_END: right
