use callboard::prelude::*;

// Neither of these types has serde impls, so neither can be in a field with `opaque`.
#[derive(Default, Service)]
pub struct Clock;

#[handlers]
impl Clock {
    pub fn since(&self, start: std::time::Instant) -> u64 {
        start.elapsed().as_secs()
    }

    pub fn set(&self) -> Result<(), std::io::Error> {
        Ok(())
    }
}

fn main() {}
