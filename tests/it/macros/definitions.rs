//! The definitions of the design, as they are written there (without persistence).

use std::{collections::BTreeMap, time::Duration};

use callboard::{
    __private::{Interface, Method},
    Code, Definition,
    kind::Kind,
    prelude::*,
};
use futures_util::{StreamExt, stream};

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    /// Says hello.
    #[handler(idempotent)]
    pub async fn say_hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}

#[derive(Clone, Debug, PartialEq, Wire)]
pub enum Change {
    Added(String, u32),
}

#[derive(Debug, PartialEq, Wire)]
pub enum CartError {
    TooMany { most: u32 },
}

#[derive(Default, Wire, Actor)]
#[actor(key = String, idle = "10m")]
pub struct Cart {
    items: BTreeMap<String, u32>,
}

#[handlers]
impl Cart {
    #[handler(timeout = "2s")]
    pub async fn add(&mut self, ctx: &Ctx<Self>, sku: String, qty: u32) -> Result<u32, CartError> {
        assert!(!ctx.key().is_empty());
        if qty > 9 {
            return Err(CartError::TooMany { most: 9 });
        }
        let count = self.items.entry(sku).or_default();
        *count += qty;
        Ok(*count)
    }
    pub fn items(&self) -> BTreeMap<String, u32> {
        self.items.clone()
    }
    pub fn watch_items(&self, ctx: &Ctx<Self>) -> impl Stream<Item = Change> + use<> {
        let key = ctx.key().clone();
        stream::iter(self.items.clone())
            .map(move |(sku, qty)| Change::Added(key.clone() + &sku, qty))
    }
}

/// The four shapes on a spawned actor, with the names that get in the way if anything does.
#[derive(Default, Actor)]
#[actor(
    mailbox = 16,
    wait = "15ms",
    readers = 2,
    restart = "never",
    intensity = "3 in 1m",
    backoff = "1ms..2s"
)]
pub struct Room {
    total: u64,
}

impl Room {
    const DIGITS: usize = 3;
}

#[handlers]
impl Room {
    pub async fn sum(&mut self, mut items: Inbound<u64>, first: u64) -> Result<u64, CallError> {
        self.total = first;
        while let Some(item) = items.next().await {
            self.total += item?;
        }
        Ok(self.total)
    }
    pub fn count(&self, until: u64) -> impl Stream<Item = u64> + Send + use<> {
        stream::iter(0..until)
    }
    #[handler(abort)]
    pub async fn double(&mut self, items: Inbound<u64>) -> impl Stream<Item = u64> + use<> {
        self.total += 1;
        items
            .filter_map(|item| async move { item.ok() })
            .map(|item| item * 2)
            .boxed()
    }
    pub fn watch(&self, args: u8, port: String, envelope: u8, message: u8, call: u8) -> String {
        format!("{args}{port}{envelope}{message}{call}{}", self.total)
    }
    pub fn reversed(&self, mut digits: [u8; Self::DIGITS]) -> [u8; Self::DIGITS] {
        digits.reverse();
        digits
    }
    pub fn r#type(&self, r#fn: bool) -> bool {
        r#fn
    }
    pub fn both(&self, one: Self, many: Vec<Self>) -> u64 {
        one.total + many.iter().map(|room| room.total).sum::<u64>()
    }
    #[cfg(target_os = "none")]
    pub fn nowhere(&self) {}
    #[handler(name = "renamed", timeout = "3ms", idempotent)]
    pub fn last(&self) {}
    #[handler(skip)]
    pub fn helper(&self, _text: &str) {}
}

impl serde::Serialize for Room {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.total.serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Room {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self {
            total: serde::Deserialize::deserialize(deserializer)?,
        })
    }
}

impl Wire for Room {
    fn describe(shape: &mut callboard::__private::WireShape) {
        shape.opaque("room/1");
    }
}

#[tokio::test]
async fn handlers_stay_plain_methods() {
    Room::default().helper("skipped ones too");
    let mut cart = Cart::default();
    let ctx = Ctx::test("alice");
    assert_eq!(cart.add(&ctx, "tea".into(), 2).await, Ok(2));
    assert_eq!(
        cart.add(&ctx, "tea".into(), 10).await,
        Err(CartError::TooMany { most: 9 })
    );
    assert_eq!(cart.items().len(), 1);
    let changes = cart.watch_items(&ctx).collect::<Vec<_>>().await;
    assert_eq!(changes, [Change::Added("alicetea".to_string(), 2)]);
}

/// One function with one `?` chain over an infallible and a fallible call.
async fn greet_and_add(node: &Node) -> Result<u32, HandlerError<CartError>> {
    let hello = node.service::<Greeter>().say_hello("Ada").await?;
    let timeout = Duration::from_millis(500);
    node.actor::<Cart>("alice")
        .add(hello, 2)
        .timeout(timeout)
        .await
}

#[tokio::test]
async fn every_shape_can_be_called_through_its_ref() {
    let node = Node::builder()
        .host::<Greeter>()
        .host::<Cart>()
        .start()
        .await
        .expect("started");
    assert_eq!(greet_and_add(&node).await.expect("added"), 2);
    let refused = node.actor::<Cart>("alice").add("tea", 10).await;
    let Err(HandlerError::App(CartError::TooMany { most: 9 })) = refused else {
        panic!("the handler's own error comes back")
    };

    let room = node.spawn::<Room>();
    let sum = room.sum(stream::iter([1, 2, 3]), 10).await.expect("summed");
    assert_eq!(sum, 16);
    let counted = room
        .count(3)
        .await
        .expect("a stream")
        .map(|item| item.expect("an item"));
    assert_eq!(counted.collect::<Vec<_>>().await, [0, 1, 2]);
    let doubled = room.double(stream::iter([4, 5])).await.expect("a stream");
    assert_eq!(
        doubled
            .map(|item| item.expect("an item"))
            .collect::<Vec<_>>()
            .await,
        [8, 10]
    );
    assert_eq!(
        room.watch(1, "p", 2, 3, 4).await.expect("called"),
        "1p23417"
    );
    let digits = room.reversed([1, 2, 3]).await.expect("called");
    assert_eq!(digits, [3, 2, 1]);
    assert!(room.r#type(true).await.expect("called"));
    let (one, other) = (Room { total: 1 }, Room { total: 2 });
    assert_eq!(room.both(one, vec![other]).await.expect("called"), 3);
    node.stop().await;
}

#[test]
fn rows_are_numbered_as_cfg_leaves_them() {
    let names = Room::METHODS
        .iter()
        .map(|spec| spec.name)
        .collect::<Vec<_>>();
    assert_eq!(
        names,
        [
            "sum", "count", "double", "watch", "reversed", "type", "both", "renamed"
        ]
    );
    fn index<M: Method>(_: impl Fn(&RoomRef) -> callboard::Call<M>) -> usize {
        M::INDEX
    }
    assert_eq!(index(RoomRef::last), 7);
    assert_eq!(index(|room| room.sum(stream::empty(), 1)), 0);
}

#[test]
fn options_are_in_the_rows() {
    let row = |name: &str| {
        Room::METHODS
            .iter()
            .find(|spec| spec.name == name)
            .expect("a method")
            .options
    };
    let sum = row("sum");
    assert!(sum.exclusive && sum.streams_args && !sum.streams_reply && !sum.abort);
    let double = row("double");
    assert!(double.exclusive && double.abort && double.streams_args && double.streams_reply);
    let last = row("renamed");
    assert!(last.idempotent && !last.exclusive && !last.once);
    assert_eq!((last.timeout_ms, sum.timeout_ms), (Some(3), None));
}

#[test]
fn settings_are_those_of_the_attributes() {
    assert_eq!((Greeter::NAME, Greeter::KIND), ("Greeter", Kind::Service));
    assert_eq!((Cart::KIND, Room::KIND), (Kind::Keyed, Kind::Spawned));
    assert_eq!(Cart::SETTINGS.idle, Duration::from_secs(600));
    let room = Room::SETTINGS;
    assert_eq!((room.mailbox, room.readers, room.restart), (16, 2, false));
    assert_eq!(room.wait, Duration::from_millis(15));
    assert_eq!(room.intensity_restarts, 3);
    assert_eq!(room.intensity_within, Duration::from_secs(60));
    assert_eq!(room.backoff_min, Duration::from_millis(1));
    assert_eq!(room.backoff_max, Duration::from_secs(2));
}

#[tokio::test]
async fn a_ref_is_a_value() {
    fn is_value<T: Clone + Eq + std::hash::Hash + Wire + std::fmt::Debug + Sync>(_: &T) {}
    let node = Node::builder()
        .host::<Greeter>()
        .start()
        .await
        .expect("started");
    let (alice, bob) = (node.actor::<Cart>("alice"), node.actor::<Cart>("bob"));
    is_value(&alice);
    assert_eq!(alice, alice.clone());
    assert_ne!(alice, bob);
    assert_eq!(CartRef::key(&alice), "alice");
    assert!(format!("{alice:?}").contains("alice"));
    let bytes = serde_json::to_vec(&alice).expect("encoded");
    let detached: CartRef = serde_json::from_slice(&bytes).expect("decoded");
    assert_eq!(detached, alice);
    let error = detached.items().await.expect_err("it has no node");
    assert_eq!(error.code(), Code::Detached);
    node.stop().await;
}
