//! Contracts: the caller's side without the implementation, and the implementation against it.

use callboard::{__private::Interface, Code, Definition, kind::Kind, prelude::*};
use futures_util::{StreamExt, stream};

/// What callers link.
mod api {
    use callboard::prelude::*;

    #[derive(Debug, Wire)]
    pub enum CartError {
        Full,
    }

    /// The carts of a shop.
    #[contract(key = String)]
    pub trait Carts {
        /// Adds some of an item and returns how many there are.
        #[handler(timeout = "2s")]
        async fn add(&mut self, sku: String, qty: u32) -> Result<u32, CartError>;
        #[handler(idempotent)]
        fn count(&self) -> u32;
        fn mirror(&self, items: Inbound<u32>) -> impl Stream<Item = u32> + use<>;
    }

    #[contract(name = "greetings")]
    pub trait Greetings {
        fn hello(&self, name: String) -> String;
    }
}

#[derive(Default, Actor)]
#[actor(contract = api::Carts, mailbox = 7)]
struct Cart {
    count: u32,
}

#[handlers(contract = api::Carts)]
impl Cart {
    // The order is not the contract's, and the context is the implementation's affair.
    pub fn mirror(&self, _ctx: &Ctx<Self>, items: Inbound<u32>) -> impl Stream<Item = u32> + use<> {
        items.filter_map(|item| async move { item.ok() }).boxed()
    }
    pub async fn add(&mut self, sku: String, qty: u32) -> Result<u32, api::CartError> {
        if sku.is_empty() {
            return Err(api::CartError::Full);
        }
        self.count += qty;
        Ok(self.count)
    }
    pub fn count(&self) -> u32 {
        self.count
    }
}

#[derive(Default, Service)]
#[service(contract = api::Greetings)]
struct Greeter;

#[handlers(contract = api::Greetings)]
impl Greeter {
    pub async fn hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}

#[test]
fn an_implementation_goes_by_the_name_of_its_contract() {
    assert_eq!((Cart::NAME, Cart::KIND), ("Carts", Kind::Keyed));
    assert_eq!((Greeter::NAME, Greeter::KIND), ("greetings", Kind::Service));
    assert_eq!(Cart::SETTINGS.mailbox, 7);
    let names = api::Carts::METHODS
        .iter()
        .map(|spec| spec.path())
        .collect::<Vec<_>>();
    assert_eq!(names, ["Carts/add", "Carts/count", "Carts/mirror"]);
}

#[tokio::test]
async fn callers_of_a_contract_reach_the_implementation() {
    let node = Node::builder()
        .host::<Cart>()
        .host::<Greeter>()
        .start()
        .await
        .expect("started");
    let hello = node
        .service::<api::Greetings>()
        .hello("Ada")
        .await
        .expect("called");
    assert_eq!(hello, "Hello, Ada!");
    let cart: api::CartsRef = node.actor::<api::Carts>("alice");
    assert_eq!(cart.add("tea", 2).await.expect("added"), 2);
    assert_eq!(cart.count().await.expect("counted"), 2);
    let refused = cart.add("", 1).await;
    assert!(matches!(
        refused,
        Err(HandlerError::App(api::CartError::Full))
    ));
    let mirrored = cart.mirror(stream::iter([1, 2])).await.expect("a stream");
    assert_eq!(
        mirrored
            .map(|item| item.expect("an item"))
            .collect::<Vec<_>>()
            .await,
        [1, 2]
    );
    // The type itself has no ref of its own: its instances are reached by the contract's.
    let same: api::CartsRef = node.actor::<Cart>("alice");
    assert_eq!(same, cart);
    node.stop().await;
}

#[tokio::test]
async fn a_contract_can_be_called_without_hosting_it() {
    let node = Node::builder()
        .host::<Greeter>()
        .start()
        .await
        .expect("started");
    let error = node
        .actor::<api::Carts>("alice")
        .count()
        .await
        .expect_err("nobody hosts it");
    assert_ne!(error.code(), Code::UnknownMethod);
    node.stop().await;
}
