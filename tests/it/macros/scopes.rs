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

    let node = Node::builder()
        .name("scopes")
        .host::<Local>()
        .host::<made::Upper>()
        .host::<made::Next>()
        .start()
        .await
        .expect("started");
    let upper = node.service::<made::Upper>().upper("ada").await;
    assert_eq!(
        upper.expect("called"),
        ("ADA".to_string(), "scopes".to_string())
    );
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
    node.stop().await;
}

#[test]
fn names_are_declared_names_and_not_paths() {
    assert_eq!(private::Counter::NAME, "Counter");
    assert_eq!(shadowed::Shadowed::NAME, "shadowed");
    assert_eq!(renamed::Greeter::NAME, "Greeter");
    assert_eq!(renamed::Ticker::NAME, "Ticker");
}
