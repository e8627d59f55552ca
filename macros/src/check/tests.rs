//! The rules on token streams: which codes an item gets, and that all of them are reported.

use proc_macro2::TokenStream;
use quote::quote;

use super::*;
use crate::{
    code::Code,
    model::{Flavor, Kind, Reply},
    parse,
    problem::Problems,
};

fn codes_of_definition(flavor: Flavor, item: TokenStream) -> Vec<Code> {
    let problems = Problems::default();
    let parsed = parse::definition(flavor, item, &problems).expect("the test wrote an item");
    definition(&parsed, &problems);
    problems.codes()
}

fn codes_of_handlers(item: TokenStream) -> Vec<Code> {
    let problems = Problems::default();
    let raw = syn::parse2(item).expect("the test wrote an impl");
    let set = parse::handlers(TokenStream::new(), raw, &problems);
    handlers(&set, &problems);
    problems.codes()
}

fn codes_of_method(method: TokenStream) -> Vec<Code> {
    codes_of_handlers(quote!(impl Greeter { #method }))
}

fn codes_of_wire(item: TokenStream) -> Vec<Code> {
    let problems = Problems::default();
    let parsed = parse::wire(item, &problems).expect("the test wrote a type");
    wire(&parsed, &problems);
    problems.codes()
}

fn codes_of_contract(item: TokenStream) -> Vec<Code> {
    let problems = Problems::default();
    let item = syn::parse2(item).expect("the test wrote a trait");
    let parsed = parse::contract(TokenStream::new(), item, &problems);
    contract(&parsed, &problems);
    problems.codes()
}

#[test]
fn all_mistakes_of_an_item_are_reported_at_once() {
    let codes = codes_of_handlers(quote! {
        impl Greeter {
            #[handler(idempotnt, timeout = "2 parsecs")]
            pub fn hash<T>(self, (a, b): (u8, u8), name: &str) -> &str {}
            #[handler(once, idempotent)]
            fn hidden(&self) {}
            pub unsafe fn raw(&mut self, job: Box<dyn Job>) {}
        }
    });
    let expected = [
        Code::UnknownSetting,
        Code::BadDuration,
        Code::ReservedName,
        Code::GenericHandler,
        Code::HandlerReceiver,
        Code::PatternArgument,
        Code::BorrowedArgument,
        Code::BorrowedReply,
        Code::PrivateHandler,
        Code::FunctionKind,
        Code::CannotTravel,
    ];
    assert_eq!(codes, expected);
}

#[test]
fn the_definitions_of_the_design_have_no_mistakes() {
    let cart = quote! {
        #[actor(key = String, persist, idle = "10m")]
        pub struct Cart { items: BTreeMap<String, u32> }
    };
    assert_eq!(codes_of_definition(Flavor::Actor, cart), []);
    let handlers = quote! {
        impl Cart {
            #[handler(once, timeout = "2s")]
            pub async fn add(&mut self, ctx: &Ctx<Self>, sku: String, qty: u32)
                -> Result<u32, CartError> { anything at all }
            pub fn items(&self) -> BTreeMap<String, u32> { self.items.clone() }
            pub fn watch_items(&self, ctx: &Ctx<Self>) -> impl Stream<Item = Change> + use<> {}
        }
    };
    assert_eq!(codes_of_handlers(handlers), []);
}

#[test]
fn only_public_methods_with_a_receiver_are_handlers() {
    let problems = Problems::default();
    let raw = syn::parse2(quote! {
        impl Greeter {
            const LIMIT: u32 = 1;
            pub fn new() -> Self {}
            fn private<'a, T>(&'a self, value: &'a T) {}
            pub(crate) fn internal(&self, value: &str) {}
            #[handler(skip)]
            pub fn skipped(&self, value: &str) {}
            #[handler]
            pub(crate) fn marked(&self) {}
            pub fn offered(&self) {}
        }
    });
    let set = parse::handlers(TokenStream::new(), raw.expect("an impl"), &problems);
    let (_, offered) = handlers(&set, &problems).expect("nothing is wrong");
    let names = offered
        .handlers
        .iter()
        .map(|handler| handler.ident.to_string())
        .collect::<Vec<_>>();
    assert_eq!(names, ["marked", "offered"]);
    assert_eq!(problems.codes(), []);
    assert!(
        !set.item.to_string().contains("handler"),
        "our attributes are taken away"
    );
}

#[test]
fn a_result_in_any_spelling_is_fallible() {
    for (reply, is_fallible) in [
        (quote!(Result<u8, E>), true),
        (quote!(std::io::Result<u8>), true),
        (quote!(Option<Result<u8, E>>), false),
        (quote!(()), false),
    ] {
        let problems = Problems::default();
        let raw = syn::parse2(quote!(impl G { pub fn f(&self) -> #reply {} }));
        let set = parse::handlers(TokenStream::new(), raw.expect("an impl"), &problems);
        let (_, offered) = handlers(&set, &problems).expect("nothing is wrong");
        let reply = offered.handlers.first().map(|handler| &handler.reply);
        assert_eq!(matches!(reply, Some(Reply::Fallible(_))), is_fallible);
    }
}

#[test]
fn types_of_the_users_own_may_have_names_of_other_libraries() {
    let own = [
        quote!(Context),
        quote!(Receiver<u8>),
        quote!(BoxStream<u8>),
        quote!(JoinHandle),
        quote!([u8; 32]),
        quote!([u8; LEN]),
        quote!(Marked<[u8; 64]>),
    ];
    for ty in own {
        let codes = codes_of_method(quote!(pub fn f(&self, value: #ty) -> #ty {}));
        assert_eq!(codes, [], "{ty}");
    }
}

#[test]
fn what_values_are_passed_through_does_not_travel() {
    let foreign = [
        quote!(Vec<tokio::sync::mpsc::Receiver<u8>>),
        quote!(oneshot::Sender<u8>),
        quote!(Pin<Box<dyn Stream<Item = u8>>>),
        quote!(BoxFuture<'static, u8>),
        quote!(Option<[u8; 33]>),
    ];
    for ty in foreign {
        let codes = codes_of_method(quote!(pub fn f(&self, value: #ty) -> #ty {}));
        assert_eq!(codes, [Code::CannotTravel, Code::CannotTravel], "{ty}");
    }
}

#[test]
fn arguments_own_their_data() {
    let borrowed = [
        quote!(&str),
        quote!(&mut u8),
        quote!(Vec<&'static str>),
        quote!(Cow<'_, str>),
    ];
    for ty in borrowed {
        let codes = codes_of_method(quote!(pub fn f(&self, value: #ty) {}));
        assert_eq!(codes, [Code::BorrowedArgument], "{ty}");
    }
    for ty in [
        quote!(Cow<'static, str>),
        quote!(
            [u8; {
                &3;
                4
            }]
        ),
        quote!(Self),
    ] {
        assert_eq!(
            codes_of_method(quote!(pub fn f(&self, value: #ty) {})),
            [],
            "{ty}"
        );
    }
}

#[test]
fn streams_name_their_items_and_borrow_nothing() {
    for (reply, code) in [
        (quote!(impl Stream<Item = u8>), Code::StreamBorrowsSelf),
        (
            quote!(impl Stream<Item = u8> + use<'_>),
            Code::StreamBorrowsSelf,
        ),
        (quote!(impl Stream<Item = u8> + '_), Code::StreamBorrowsSelf),
        (quote!(impl Stream + use<>), Code::StreamWithoutItem),
        (
            quote!(impl Stream<Item = &str> + use<>),
            Code::BorrowedReply,
        ),
        (
            quote!(Option<impl Stream<Item = u8> + use<>>),
            Code::NestedStream,
        ),
        (quote!(Streaming<u8>), Code::NestedStream),
        (quote!(impl Future<Output = u8>), Code::OpaqueReply),
        (quote!(!), Code::CannotTravel),
    ] {
        assert_eq!(
            codes_of_method(quote!(pub fn f(&self) -> #reply {})),
            [code],
            "{reply}"
        );
    }
    let right = quote!(
        pub async fn f(&self) -> impl futures::Stream<Item = u8> + Send + use<> {}
    );
    assert_eq!(codes_of_method(right), []);
}

#[test]
fn what_callers_get_is_no_error_of_a_handler() {
    for (reply, expected) in [
        (
            quote!(Result<u8, HandlerError<Refused>>),
            Some(Code::CannotTravel),
        ),
        (
            quote!(Result<u8, callboard::HandlerError<Refused>>),
            Some(Code::CannotTravel),
        ),
        // Of a type of the user's own with this name nothing is known.
        (quote!(Result<u8, HandlerError>), None),
        (quote!(Result<u8, Refused>), None),
    ] {
        let codes = codes_of_method(quote!(pub fn f(&self) -> #reply {}));
        assert_eq!(codes, expected.into_iter().collect::<Vec<_>>(), "{reply}");
    }
}

#[test]
fn the_context_comes_first_and_is_borrowed() {
    for (args, expected) in [
        (quote!(ctx: &Ctx<Self>), None),
        (quote!(_: &callboard::Ctx<Greeter>, value: u8), None),
        (quote!(ctx: Ctx<Self>), Some(Code::CtxForm)),
        (quote!(ctx: &mut Ctx<Self>), Some(Code::CtxForm)),
        (quote!(ctx: &Ctx<Other>), Some(Code::CtxForm)),
        (quote!(ctx: &Ctx), Some(Code::CtxForm)),
        (quote!(value: u8, ctx: &Ctx<Self>), Some(Code::MisplacedCtx)),
        (
            quote!(ctx: &Ctx<Self>, again: &Ctx<Self>),
            Some(Code::MisplacedCtx),
        ),
    ] {
        let codes = codes_of_method(quote!(pub fn f(&self, #args) {}));
        assert_eq!(codes, expected.into_iter().collect::<Vec<_>>(), "{args}");
    }
}

#[test]
fn one_streamed_argument_is_allowed_anywhere() {
    let right = quote!(
        pub fn f(&self, up: Inbound<u8>, name: String) {}
    );
    assert_eq!(codes_of_method(right), []);
    for ty in [
        quote!(&mut Inbound<u8>),
        quote!(Inbound),
        quote!(Vec<Inbound<u8>>),
    ] {
        let codes = codes_of_method(quote!(pub fn f(&self, up: #ty) {}));
        assert_eq!(codes, [Code::InboundForm], "{ty}");
    }
}

#[test]
fn raw_names_are_the_names_they_spell() {
    assert_eq!(
        codes_of_method(quote!(
            pub fn r#type(&self, r#fn: u8) {}
        )),
        []
    );
    assert_eq!(
        codes_of_method(quote!(
            pub fn r#clone(&self) {}
        )),
        [Code::ReservedName]
    );
}

#[test]
fn alternatives_under_cfg_may_share_a_name() {
    let item = quote! {
        #[cfg(unix)]
        pub fn open(&self) {}
        #[cfg(not(unix))]
        pub fn open(&self) {}
    };
    assert_eq!(codes_of_method(item), []);
}

#[test]
fn settings_are_checked_against_the_kind() {
    for (settings, expected) in [
        (quote!(key = String, placement = "hash"), None),
        (quote!(placement = "pinned"), None),
        (quote!(placement = "least_loaded"), None),
        (quote!(placement = "least_loaded", contract = Carts), None),
        (
            quote!(placement = "somewhere", contract = Carts),
            Some(Code::UnknownChoice),
        ),
        (
            quote!(key = String, placement = "least_loaded"),
            Some(Code::UnknownChoice),
        ),
        (quote!(placement = "hash"), Some(Code::UnknownChoice)),
        (
            quote!(key = String, placement = "local"),
            Some(Code::UnknownChoice),
        ),
        (quote!(persist), Some(Code::NeedsKey)),
        (quote!(handover), Some(Code::NeedsKey)),
        (quote!(handover, key = u8), None),
        (quote!(handover = true, key = u8), Some(Code::WrongValue)),
        (quote!(role = "storage", key = u8), None),
        (quote!(role = "storage"), Some(Code::NeedsKey)),
        (quote!(role = "big disk", key = u8), Some(Code::BadRole)),
        (quote!(labels = "disk=ssd, gpu = yes", key = u8), None),
        (quote!(labels = "disk=ssd"), Some(Code::NeedsKey)),
        (quote!(labels = "disk", key = u8), Some(Code::BadSite)),
        (quote!(labels = "disk=", key = u8), Some(Code::BadSite)),
        (quote!(labels = "disk=ssd,", key = u8), Some(Code::BadSite)),
        (quote!(zones = "eu-1, eu-2", key = u8), None),
        (quote!(zones = "eu-1"), Some(Code::NeedsKey)),
        (quote!(zones = "", key = u8), Some(Code::BadSite)),
        (quote!(zones = "eu-1,,eu-2", key = u8), Some(Code::BadSite)),
        (quote!(concurrency = 3), Some(Code::UnknownSetting)),
        (quote!(readers = 0), Some(Code::NumberOutOfRange)),
        (quote!(readers = "64"), Some(Code::WrongValue)),
        (quote!(persist = true, key = u8), Some(Code::WrongValue)),
        (quote!(key = "String"), Some(Code::WrongValue)),
        (quote!(idle = 10m, key = u8), Some(Code::WrongValue)),
        (
            quote!(contract = Carts, name = "Cart"),
            Some(Code::StatedByContract),
        ),
        (quote!(= 3), Some(Code::MalformedAttribute)),
    ] {
        let item = quote!(
            #[actor(#settings)]
            struct Cart;
        );
        let codes = codes_of_definition(Flavor::Actor, item);
        assert_eq!(
            codes,
            expected.into_iter().collect::<Vec<_>>(),
            "{settings}"
        );
    }
}

#[test]
fn a_contract_is_addressed_as_its_settings_say() {
    let kind_of = |settings| {
        let problems = Problems::default();
        let item = syn::parse2(quote!(
            pub trait Carts {
                fn items(&self) -> u32;
            }
        ));
        let contract = parse::contract(settings, item.expect("a trait"), &problems);
        kind(None, &contract.settings)
    };
    assert_eq!(kind_of(quote!()), Kind::Service);
    assert_eq!(kind_of(quote!(spawned)), Kind::Spawned);
    assert_eq!(kind_of(quote!(key = String)), Kind::Keyed);
}

#[test]
fn a_contract_has_methods_without_bodies() {
    let codes = codes_of_contract(quote! {
        unsafe trait Carts: Send {
            type Item;
            fn new() -> u32;
            fn items(&self, ctx: &Ctx<Self>) -> u32 { 1 }
        }
    });
    let item = Code::ContractItem;
    let methods = [Code::HandlerWithoutSelf, Code::MisplacedCtx];
    assert_eq!(codes, [[item; 4].as_slice(), methods.as_slice()].concat());
}

#[test]
fn a_contract_promises_only_what_its_kind_can_do() {
    let item = quote! {
        trait Carts {
            #[handler(once)]
            fn add(&mut self);
        }
    };
    let codes = codes_of_contract(item);
    assert_eq!(codes, [Code::StatelessService, Code::OnceNeedsPersist]);
}

#[test]
fn a_recursive_type_states_its_depth() {
    let bare = quote!(
        struct Tree<T> {
            value: T,
            children: Vec<Tree<T>>,
        }
    );
    assert_eq!(codes_of_wire(bare.clone()), [Code::RecursionWithoutDepth]);
    assert_eq!(codes_of_wire(quote!(#[wire(depth = 9)] #bare)), []);
    assert_eq!(
        codes_of_wire(quote!(
            enum E {
                A(Box<Self>),
            }
        )),
        [Code::RecursionWithoutDepth]
    );
    assert_eq!(
        codes_of_wire(quote!(
            struct Tree {
                other: forest::Tree,
            }
        )),
        []
    );
    assert_eq!(codes_of_wire(quote!(#[wire(depth = 300)] #bare)).len(), 2);
}

#[test]
fn serde_attributes_are_for_opaque_types_only() {
    let item = quote! { #[serde(transparent)] struct Money(#[serde(rename = "x")] u64); };
    assert_eq!(
        codes_of_wire(item.clone()),
        [Code::SerdeAttribute, Code::SerdeAttribute]
    );
    assert_eq!(codes_of_wire(quote!(#[wire(opaque = "money/1")] #item)), []);
}

#[test]
fn hooks_in_their_forms_have_no_mistakes() {
    let codes = codes_of_handlers(quote! {
        impl Cart {
            #[handler(activate)]
            async fn load(&mut self, ctx: &Ctx<Self>) -> io::Result<()> {}
            #[handler(deactivate)]
            pub fn store(&self, ctx: &Ctx<Cart>, reason: callboard::Deactivation) {}
            pub fn items(&self) {}
        }
    });
    assert_eq!(codes, []);
    let codes = codes_of_handlers(quote! {
        impl Cart {
            #[cfg(unix)]
            #[handler(activate)]
            fn load(&mut self) -> Result<(), Error> {}
            #[cfg(not(unix))]
            #[handler(activate)]
            async fn load(&mut self) {}
            #[handler(deactivate)]
            fn store(&self, reason: Deactivation) -> () {}
            pub fn items(&self) {}
        }
    });
    assert_eq!(codes, []);
}

#[test]
fn every_wrong_form_of_a_hook_is_reported() {
    for wrong in [
        quote!(
            #[handler(activate)]
            fn load(self) {}
        ),
        quote!(
            #[handler(activate)]
            fn load() {}
        ),
        quote!(
            #[handler(activate)]
            fn load(self: Arc<Self>) {}
        ),
        quote!(
            #[handler(activate)]
            fn load<'a>(&'a mut self) {}
        ),
        quote!(
            #[handler(activate)]
            fn load(&mut self, items: u32) {}
        ),
        quote!(
            #[handler(activate)]
            fn load(&mut self, reason: Deactivation) {}
        ),
        quote!(
            #[handler(activate)]
            fn load(&mut self) -> u32 {}
        ),
        quote!(
            #[handler(activate)]
            fn load(&mut self) -> Result<u32, String> {}
        ),
        quote!(
            #[handler(activate)]
            fn load(&mut self) -> impl Future<Output = ()> {}
        ),
        quote!(
            #[handler(activate)]
            unsafe fn load(&mut self) {}
        ),
        quote!(
            #[handler(deactivate)]
            fn store(&mut self, reason: &Deactivation) {}
        ),
        quote!(
            #[handler(deactivate)]
            fn store(&mut self, a: Deactivation, b: Deactivation) {}
        ),
        quote!(
            #[handler(deactivate)]
            fn store(&mut self) -> Result<(), String> {}
        ),
    ] {
        let codes = codes_of_method(wrong.clone());
        assert!(codes.contains(&Code::HookForm), "{wrong}: {codes:?}");
        assert!(
            codes.iter().all(|code| *code == Code::HookForm),
            "{wrong}: {codes:?}"
        );
    }
    let late = quote!(
        #[handler(deactivate)]
        fn store(&mut self, a: Deactivation, ctx: &Ctx<Self>) {}
    );
    assert_eq!(codes_of_method(late), [Code::MisplacedCtx]);
    let foreign = quote!(
        #[handler(activate)]
        fn load(&mut self, ctx: &Ctx<Room>) {}
    );
    assert_eq!(codes_of_method(foreign), [Code::CtxForm]);
    let both = quote!(
        #[handler(activate, deactivate, allow = "ops")]
        fn load(&mut self) {}
    );
    assert_eq!(
        codes_of_method(both),
        [Code::HookOptions, Code::HookOptions]
    );
    let twice = codes_of_handlers(quote! {
        impl Cart {
            #[handler(deactivate)]
            fn store(&mut self) {}
            #[handler(deactivate)]
            fn close(&mut self) {}
        }
    });
    assert_eq!(twice, [Code::TwoHooks]);
    let of_contract = quote! {
        pub trait Carts {
            #[handler(activate)]
            fn load(&mut self);
            fn items(&self);
        }
    };
    assert_eq!(codes_of_contract(of_contract), [Code::MisplacedHook]);
}
