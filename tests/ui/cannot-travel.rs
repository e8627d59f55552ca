use callboard::prelude::*;

// ANCHOR: wrong
#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn run(&self, job: Box<dyn Fn() -> u32>) -> u32 {
        job()
    }
}
// ANCHOR_END: wrong

fn main() {}
