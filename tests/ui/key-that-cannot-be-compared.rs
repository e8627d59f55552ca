use callboard::prelude::*;

#[derive(Default, Actor)]
#[actor(key = f64)]
pub struct Spot;

#[handlers]
impl Spot {
    pub fn height(&self) -> u32 {
        1
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub struct Place {
    x: u32,
}

#[derive(Default, Actor)]
#[actor(key = Place)]
pub struct Field;

#[handlers]
impl Field {
    pub fn height(&self) -> u32 {
        1
    }
}

fn main() {}
