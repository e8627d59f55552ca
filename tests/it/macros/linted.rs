//! A crate of definitions with all lints on: what the macros emit causes none.

#![deny(
    warnings,
    missing_debug_implementations,
    single_use_lifetimes,
    unused,
    unused_lifetimes,
    unused_qualifications,
    clippy::all,
    clippy::nursery,
    clippy::pedantic
)]
#![allow(dead_code, reason = "nobody calls them here")]

use std::collections::BTreeMap;

use callboard::prelude::*;

/// Why not.
#[derive(Debug, Clone, Wire)]
pub enum ShopError {
    /// Nothing left.
    SoldOut,
    /// Of a size.
    Small {
        /// The size.
        size: u64,
    },
    /// With a value.
    Other(String),
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Wire)]
pub struct Line {
    /// Its text.
    pub text: String,
    /// How many.
    pub count: u32,
}

/// A pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Wire)]
pub struct Pair(pub u8, pub u8);

/// The shop.
#[derive(Debug, Default, Service)]
#[service(name = "shop", concurrency = 10)]
pub struct Shop {
    closed: bool,
}

#[handlers]
impl Shop {
    /// Hello.
    #[handler(idempotent)]
    pub fn hello(&self, name: String) -> String {
        self.helper(&name)
    }
    /// Buys.
    ///
    /// # Errors
    /// When it is sold out.
    pub fn buy(&self, _line: Line, _pair: Pair) -> Result<u32, ShopError> {
        self.check().map(|()| 1)
    }
    /// Watches.
    #[handler(timeout = "none")]
    pub fn watch(&self, ctx: &Ctx<Self>) -> impl Stream<Item = Line> + use<> {
        let _ = ctx;
        futures_util::stream::empty()
    }
    /// Both.
    pub fn both(&self, items: Inbound<u32>) -> impl Stream<Item = u32> + use<> {
        futures_util::StreamExt::filter_map(items, |item| std::future::ready(item.ok()))
    }
    fn helper(&self, name: &str) -> String {
        let word = if self.closed { "Goodbye" } else { "Hello" };
        format!("{word}, {name}")
    }

    const fn check(&self) -> Result<(), ShopError> {
        if self.closed {
            return Err(ShopError::SoldOut);
        }
        Ok(())
    }
}

/// A service that nobody should use any more.
#[deprecated]
#[derive(Debug, Default, Service)]
pub struct Mill {
    sum: u32,
}

/// What an author allows on a handler is nothing to tell of its ref either.
#[allow(deprecated)]
#[handlers]
impl Mill {
    /// Takes much.
    #[must_use]
    #[allow(clippy::too_many_arguments)]
    pub fn grind(
        &self,
        oat: u8,
        rye: u8,
        rice: u8,
        spelt: u8,
        corn: u8,
        teff: u8,
        flax: u8,
        pea: u8,
    ) -> [u8; 8] {
        [oat, rye, rice, spelt, corn, teff, flax, pea]
    }
    /// Replies with much.
    #[must_use]
    #[allow(clippy::type_complexity)]
    pub fn sort(
        &self,
        parts: Vec<BTreeMap<String, Option<(u8, Vec<Option<(u8, String)>>)>>>,
    ) -> Vec<BTreeMap<String, Option<(u8, Vec<Option<(u8, String)>>)>>> {
        parts
    }
    /// Is called as another kind of method is.
    #[must_use]
    #[allow(clippy::iter_not_returning_iterator, clippy::wrong_self_convention)]
    pub fn iter(&self) -> Vec<u32> {
        vec![self.sum]
    }
}

/// A contract that nobody should use any more.
#[deprecated]
#[contract]
pub trait Mills {
    /// Takes much.
    fn grind(
        &self,
        oat: u8,
        rye: u8,
        rice: u8,
        spelt: u8,
        corn: u8,
        teff: u8,
        flax: u8,
        pea: u8,
    ) -> u8;
}

/// A cart.
#[derive(Debug, Default, Wire, Actor)]
#[actor(key = String, handover, idle = "10m")]
pub struct Cart {
    items: BTreeMap<String, u32>,
}

#[handlers]
impl Cart {
    /// Adds.
    ///
    /// # Errors
    /// Never, so far.
    #[handler(abort, timeout = "2s")]
    pub async fn add(&mut self, ctx: &Ctx<Self>, sku: String, qty: u32) -> Result<u32, ShopError> {
        let _ = ctx.key();
        std::future::ready(()).await;
        let count = self.items.entry(sku).or_default();
        *count += qty;
        Ok(*count)
    }
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len()
    }
}

/// A room.
#[derive(Debug, Default, Actor)]
pub struct Room {
    count: usize,
}

#[handlers]
impl Room {
    /// Says.
    pub fn say(&mut self, shop: ShopRef, text: String) -> usize {
        drop(shop);
        self.count = text.len();
        self.count
    }
}

/// The contract.
#[contract(key = String)]
pub trait Bills {
    /// Pays.
    ///
    /// # Errors
    /// Not today.
    fn pay(&mut self, amount: u64) -> Result<u64, ShopError>;
    /// Streams.
    fn list(&self) -> impl Stream<Item = Line> + use<>;
}

/// The implementation.
#[derive(Debug, Default, Actor)]
#[actor(contract = Bills)]
pub struct Ledger {
    sum: u64,
}

#[handlers(contract = Bills)]
impl Ledger {
    /// Pays.
    ///
    /// # Errors
    /// Not today.
    pub fn pay(&mut self, amount: u64) -> Result<u64, ShopError> {
        if amount == 0 {
            return Err(ShopError::SoldOut);
        }
        self.sum += amount;
        Ok(self.sum)
    }
    /// Streams.
    pub fn list(&self) -> impl Stream<Item = Line> + use<> {
        futures_util::stream::empty()
    }
}
