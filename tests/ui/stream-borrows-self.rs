use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn ticks(&self) -> impl Stream<Item = u32> {
        futures_util::stream::iter(0..3)
    }
}
// ANCHOR_END: wrong

fn main() {}
