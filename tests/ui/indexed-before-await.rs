use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Lists;

#[handlers]
impl Lists {
    pub fn list(&self) -> Vec<u32> {
        vec![1]
    }
}

pub fn first(lists: &ListsRef) -> u32 {
    lists.list()[0]
}

fn main() {}
