use callboard::prelude::*;

mod exam {
    use callboard::prelude::*;

    #[derive(Wire)]
    pub struct Result {
        pub points: u32,
    }
}

#[derive(Default, Service)]
pub struct School;

#[handlers]
impl School {
    pub fn examine(&self, name: String) -> exam::Result {
        exam::Result {
            points: name.len() as u32,
        }
    }
}

fn main() {}
