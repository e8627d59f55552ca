use callboard::prelude::*;

pub struct Name(String);

#[derive(Wire)]
pub struct Greeting {
    name: Option<Name>,
}

#[derive(Wire)]
pub enum Message {
    Named { name: Name },
    Unnamed(Name, u32),
}

fn main() {}
