use callboard::prelude::*;

pub struct Name(String);

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    pub fn hello(&self, times: u32, name: Name) -> String {
        name.0.repeat(times as usize)
    }
}

fn main() {}
