use callboard::prelude::*;

// What a caller in another module takes for a handler, whatever its types are.
mod shop {
    use callboard::prelude::*;
    use std::collections::BTreeMap;

    struct Item;

    #[derive(Default, Actor)]
    pub struct Shop {
        items: BTreeMap<String, Item>,
    }

    #[handlers]
    impl Shop {
        pub fn count(&self) -> usize {
            self.find("tea").map_or(0, |_| self.items.len())
        }

        fn find<'a>(&'a self, name: &str) -> Option<&'a Item> {
            self.items.get(name)
        }

        pub(crate) async fn clear(&mut self, _ctx: &Ctx<Self>, _but: Vec<String>) -> Result<(), String> {
            self.items.clear();
            Ok(())
        }

        pub fn sum(prices: Vec<u32>) -> u32 {
            prices.into_iter().sum()
        }

        #[handler(skip)]
        pub fn each<F: Fn(&str) -> bool>(&self, matches: F) -> bool {
            self.items.keys().all(|name| matches(name))
        }
    }
}

pub async fn shop(node: &Node) -> Result<(), HandlerError<String>> {
    let shop = node.spawn::<shop::Shop>();
    let _item = shop.find("tea").await?;
    shop.clear(Vec::new()).await?;
    shop.each(true).await?;
    let _sum: u32 = shop.sum(vec![1]).await?;
    Ok(())
}

fn main() {}
