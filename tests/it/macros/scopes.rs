//! Where definitions may stand, and how private they may be.

#![deny(warnings, missing_docs, unreachable_pub)]

use callboard::{Definition, prelude::*};

/// Private types, private arguments, two definitions in one module.
mod private {
    use callboard::prelude::*;

    #[derive(Wire)]
    pub(super) struct Public(pub(super) u8);

    #[derive(Wire)]
    struct Secret(u8);

    #[derive(Default, Service)]
    struct Vault;

    #[handlers]
    impl Vault {
        #[handler]
        pub(crate) fn open(&self, secret: Secret) -> Result<u8, Secret> {
            Ok(secret.0)
        }
        #[handler]
        pub(super) fn lock(&self) {}
    }

    #[derive(Default, Actor)]
    pub(super) struct Counter {
        count: u64,
    }

    #[handlers]
    impl Counter {
        #[handler]
        pub(super) fn increase(&mut self) -> u64 {
            self.count += 1;
            self.count
        }
    }

    pub(super) fn calls(node: &Node) {
        let vault = node.service::<Vault>();
        let _ = (vault.open(Secret(1)), vault.lock());
    }
}

/// Handlers in another module than the derive: the ref is looked up beside the type.
mod apart {
    mod types {
        use callboard::prelude::*;

        #[derive(Default, Service)]
        pub(super) struct Greeter;
    }

    mod by_path {
        use callboard::prelude::*;

        #[handlers]
        impl super::types::Greeter {
            #[handler]
            pub(in super::super) fn hello(&self) {}
        }
    }

    pub(super) fn calls(node: &callboard::Node) {
        drop(node.service::<types::Greeter>().hello());
    }
}

/// The names that the emitted code could trip over, if it used any.
mod shadowed {
    #![allow(
        dead_code,
        non_camel_case_types,
        reason = "they are there to be in the way"
    )]

    use callboard::{Actor, Ctx, Wire, handlers};

    struct Option;
    struct Result;
    struct Some;
    struct Into;
    struct Send;
    struct Future;
    struct Clone;
    struct Debug;
    struct Vec;
    struct Envelope;
    struct Method;
    mod core {}
    mod std {}
    mod serde {}

    #[derive(Wire)]
    pub(super) struct add {
        pub(super) value: u8,
    }

    #[derive(Actor)]
    #[actor(name = "shadowed")]
    pub(super) struct Shadowed;

    #[handlers]
    impl Shadowed {
        #[handler]
        pub(super) async fn add(&mut self, ctx: &Ctx<Self>, args: add) -> add {
            let _ = ctx;
            args
        }
    }
}

/// Methods that are no handlers, of every form: the ref has words for who calls one, and they are in
/// nobody's way.
mod withheld {
    use callboard::prelude::*;
    use futures_util::FutureExt;
    use std::{collections::BTreeMap, error::Error, rc::Rc, sync::Arc};

    type Result<T> = std::result::Result<T, Box<dyn Error>>;

    struct Item;

    #[derive(Default, Actor)]
    pub(super) struct Shelf {
        items: BTreeMap<String, Item>,
        sum: u64,
    }

    #[handlers]
    impl Shelf {
        #[handler]
        pub(super) fn look(&self) -> bool {
            let shelf = Arc::new(Shelf::default());
            self.first::<2>().is_some()
                && self.each(|_| ()).is_ok()
                && self.r#match("tea", &mut 1) == "tea"
                && self.clone().fits().is_some()
                && self.next().is_some()
                && self.boxed(None) == 0
                && shelf.shared().is_ok()
                && Self::parse("1").is_some()
                && Box::new(Shelf::default()).into_parts().sum == 0
        }

        fn first<const N: usize>(&self) -> Option<[&Item; N]> {
            self.items.values().collect::<Vec<_>>().try_into().ok()
        }

        fn each<'a, F>(&'a self, mut f: F) -> Result<()>
        where
            F: FnMut(&'a Item),
        {
            self.items.values().for_each(&mut f);
            Ok(())
        }

        fn r#match<'a>(&self, name: &'a str, _: &mut u8) -> &'a str {
            name
        }

        fn fits(self) -> Option<Rc<Item>> {
            None
        }

        fn next(&self) -> Option<impl Iterator<Item = &Item> + '_> {
            Some(self.items.values())
        }

        fn clone(&self) -> Self {
            Self::default()
        }

        fn boxed(&self, _item: Option<Item>) -> u64 {
            self.sum
        }

        fn shared(self: Arc<Self>) -> std::result::Result<(), ()> {
            Ok(())
        }

        fn parse(text: &str) -> Option<u64> {
            text.parse().ok()
        }

        fn into_parts(self: Box<Self>) -> Box<Self> {
            self
        }

        #[handler(skip)]
        pub(super) fn shown(&self, _ctx: &Ctx<Self>) -> Result<u64> {
            Ok(self.sum)
        }
    }

    /// The ref is cloned by its trait, and not by a method of the actor's.
    pub(super) async fn calls(shelf: &ShelfRef) -> bool {
        let shown = Shelf::default().shown(&Ctx::test(())).is_ok();
        let shelf: ShelfRef = shelf.clone();
        shown && shelf.look().boxed().await.is_ok()
    }
}

/// Definitions made by a macro of the user's.
mod made {
    use callboard::prelude::*;

    macro_rules! service {
        ($name:ident, $handler:ident($arg:ident: $ty:ty) $body:expr) => {
            #[derive(Default, Service)]
            pub(super) struct $name;

            #[handlers]
            impl $name {
                pub fn $handler(&self, ctx: &Ctx<Self>, $arg: $ty) -> ($ty, String) {
                    ($body, ctx.node_name().to_string())
                }

                #[deprecated(note = "use the other one")]
                pub fn before(&self, message: $crate::macros::scopes::private::Public) -> u8 {
                    message.0
                }
            }
        };
    }

    /// All the types of a handler are given, so that each stands in invisible brackets.
    macro_rules! repeater {
        ($name:ident, $ctx:ty, $items:ty, $text:ty, $reply:ty) => {
            #[derive(Default, Service)]
            pub(super) struct $name;

            #[handlers]
            impl $name {
                pub fn repeat(&self, ctx: $ctx, items: $items, text: $text) -> $reply {
                    assert_eq!(ctx.node_name(), text);
                    futures_util::StreamExt::filter_map(items, |item| std::future::ready(item.ok()))
                }
            }
        };
    }

    repeater!(
        Repeater,
        &Ctx<Self>,
        Inbound<u8>,
        String,
        impl Stream<Item = u8> + use<>
    );
    service!(Upper, upper(text: String) text.to_uppercase());
    service!(Next, next(number: u8) number + 1);
}

/// The framework under another path.
mod renamed {
    pub(super) mod framework {
        pub(in super::super) use callboard as board;
    }

    use framework::board::{Inbound, Service, Wire, handlers};
    use framework::board::{contract, prelude::Stream};

    #[derive(Wire)]
    #[wire(crate = framework::board)]
    pub(super) struct Name(String);

    #[derive(Default, Service)]
    #[service(crate = framework::board)]
    pub(super) struct Greeter;

    #[handlers(crate = framework::board)]
    impl Greeter {
        #[handler]
        pub(super) fn hello(&self, name: Name, _more: Inbound<Name>) -> String {
            name.0
        }
    }

    #[contract(spawned, crate = framework::board)]
    pub(super) trait Ticker {
        fn ticks(&self) -> impl Stream<Item = u8> + use<>;
    }
}

#[tokio::test]
async fn definitions_work_wherever_they_stand() {
    #[derive(Default, Service)]
    struct Local;

    #[handlers]
    impl Local {
        #[handler]
        pub(crate) fn hello(&self) -> u8 {
            1
        }
    }

    use futures_util::StreamExt;

    let node = Node::builder()
        .name("scopes")
        .host::<Local>()
        .host::<made::Upper>()
        .host::<made::Next>()
        .host::<made::Repeater>()
        .start()
        .await
        .expect("started");
    let upper = node.service::<made::Upper>().upper("ada").await;
    assert_eq!(
        upper.expect("called"),
        ("ADA".to_string(), "scopes".to_string())
    );
    let repeater = node.service::<made::Repeater>();
    let items = repeater.repeat(futures_util::stream::iter([1, 2]), "scopes");
    let items = items.await.expect("a stream");
    assert_eq!(items.collect::<Vec<_>>().await, [Ok(1), Ok(2)]);
    let next = node.service::<made::Next>().next(1).await;
    assert_eq!(next.expect("called").0, 2);
    #[expect(deprecated, reason = "the ref says so too")]
    let before = node.service::<made::Next>().before(private::Public(3));
    assert_eq!(before.await.expect("called"), 3);
    assert_eq!(node.service::<Local>().hello().await.expect("called"), 1);
    let counter = node.spawn::<private::Counter>();
    assert_eq!(counter.increase().await.expect("called"), 1);
    let shadowed = node.spawn_with::<shadowed::Shadowed>(|_| shadowed::Shadowed);
    let reply = shadowed
        .add(shadowed::add { value: 3 })
        .await
        .expect("called");
    assert_eq!(reply.value, 3);
    private::calls(&node);
    apart::calls(&node);
    let shelf = node.spawn::<withheld::Shelf>();
    assert!(withheld::calls(&shelf).await);
    node.stop().await;
}

#[tokio::test]
async fn the_words_for_who_forgets_to_await_hide_no_adapter() {
    use futures_util::{FutureExt, StreamExt, TryFutureExt};

    let node = Node::builder().host::<made::Next>().start();
    let node = node.await.expect("started");
    let next = node.service::<made::Next>();
    let mapped = next.next(1).map_ok(|(number, _)| u64::from(number));
    let mapped = mapped.map_err(|error| error.code()).await;
    assert_eq!(mapped, Ok(2));
    assert!(next.next(1).map(|result| result.is_ok()).await);
    let chained = next.next(1).and_then(|(number, _)| next.next(number));
    let chained = chained.or_else(|_| next.next(7)).await;
    assert_eq!(chained.expect("called").0, 3);
    let number = next.next(1).map_ok(|(number, _)| number);
    assert_eq!(number.unwrap_or_else(|_| 0).await, 2);
    let other = next.next(1).unwrap_or_else(|_| (0, String::new()));
    assert_eq!(other.await.0, 2);
    let items = Inbound::test([1, 2, 3]);
    let items = items.map(|item| item.map(|number| number + 1));
    assert_eq!(items.collect::<Vec<_>>().await, [Ok(2), Ok(3), Ok(4)]);
    node.stop().await;
}

#[test]
fn names_are_declared_names_and_not_paths() {
    assert_eq!(private::Counter::NAME, "Counter");
    assert_eq!(shadowed::Shadowed::NAME, "shadowed");
    assert_eq!(renamed::Greeter::NAME, "Greeter");
    assert_eq!(renamed::Ticker::NAME, "Ticker");
}
