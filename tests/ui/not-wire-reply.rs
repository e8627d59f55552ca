use callboard::prelude::*;

pub struct NotFound;

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub async fn hello(&self) -> Result<String, NotFound> {
        Err(NotFound)
    }

    pub fn misses(&self) -> impl Stream<Item = NotFound> + use<> {
        futures_util::stream::empty()
    }
}

fn main() {}
