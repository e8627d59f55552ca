use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn ticks(&self) -> Result<impl Stream<Item = u32> + use<>, String> {
        Ok(futures_util::stream::iter(0..3))
    }
}
// ANCHOR_END: wrong

fn main() {}
