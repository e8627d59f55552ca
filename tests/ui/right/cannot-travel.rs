use callboard::prelude::*;

// ANCHOR: right
#[derive(Wire)]
pub enum Job {
    Add(u32, u32),
}

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn run(&self, job: Job) -> u32 {
        let Job::Add(a, b) = job;
        a + b
    }
}
// ANCHOR_END: right
