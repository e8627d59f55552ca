//! The Cart: a keyed actor, one for each shopper, placed somewhere in the cluster by its key.
//!
//! Each of its turns leaves a line in the trace of its process; see `turns.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard::prelude::*;

use crate::turns;

// ANCHOR: cart
/// What a shopper has chosen, in memory: it goes along when its slot moves, and is empty again when
/// its node is lost.
#[derive(Debug, Default, Wire, Actor)]
#[actor(key = String, handover)]
pub(crate) struct Cart {
    items: BTreeMap<String, u32>,
    /// When its first turn was; 0 before it. It tells an empty cart from the one before.
    born_ns: u64,
}

/// What is in a cart, and the node that answered for it.
#[derive(Clone, Debug, PartialEq, Eq, Wire)]
pub(crate) struct Basket {
    pub(crate) kinds: u32,
    pub(crate) born_ns: u64,
    pub(crate) node: String,
}

#[handlers]
impl Cart {
    /// Says how many of an item there should be. Saying it twice does no harm, so a call whose node is
    /// lost is made again on the next one.
    #[handler(idempotent)]
    pub fn put(&mut self, ctx: &Ctx<Self>, item: String, count: u32) -> Basket {
        let _turn = turns::begin(ctx);
        if self.items.len() < KINDS_MAX || self.items.contains_key(&item) {
            self.items.insert(item, count);
        }
        self.basket(ctx)
    }

    /// Asks for the prices of the day, which takes a while: a turn that is often under way when
    /// something happens to its node.
    #[handler(idempotent)]
    pub async fn reprice(&mut self, ctx: &Ctx<Self>) -> Basket {
        let _turn = turns::begin(ctx);
        tokio::time::sleep(PRICES_TAKE).await;
        self.basket(ctx)
    }

    #[handler(skip)]
    fn basket(&mut self, ctx: &Ctx<Self>) -> Basket {
        if self.born_ns == 0 {
            self.born_ns = turns::now_ns();
        }
        Basket {
            born_ns: self.born_ns,
            kinds: u32::try_from(self.items.len()).unwrap_or(u32::MAX),
            node: ctx.node_name().to_string(),
        }
    }
}
// ANCHOR_END: cart

/// A cart's memory is bounded.
const KINDS_MAX: usize = 100;

/// How long a shop takes to say its prices.
const PRICES_TAKE: Duration = Duration::from_millis(5);
