pub mod shop {
    use callboard::prelude::*;

    #[derive(Default, Actor)]
    struct Basket {
        items: Vec<String>,
    }

    #[handlers]
    impl Basket {
        pub fn items(&self) -> Vec<String> {
            self.items.clone()
        }
    }

    #[derive(Default, Service)]
    pub struct Desk;

    #[handlers]
    impl Desk {
        pub fn basket(&self) -> Option<BasketRef> {
            None
        }
    }
}

fn main() {}
