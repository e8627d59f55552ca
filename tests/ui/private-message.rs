mod shop {
    use callboard::prelude::*;

    #[derive(Wire)]
    struct Order {
        dish: String,
    }

    #[derive(Default, Service)]
    pub struct Canteen;

    #[handlers]
    impl Canteen {
        pub fn order(&self, order: Order) -> String {
            order.dish
        }
    }
}

fn main() {}
