//! The derives and attributes of Callboard: how an ordinary struct becomes a service or an actor.
//!
//! Use them through the `callboard` package, whose hidden `__private` module is what the emitted
//! code names; this package is of no use alone. Nothing here runs in a program: no networking, no
//! serialisation, only tokens in and tokens out. It may depend on `syn`, `quote` and
//! `proc-macro-crate` and on nothing of ours.
//!
//! ```text
//!  tokens ─► parse ─► model ─► check ─► expand ─► tokens
//!              │                 │         │
//!              └── Problems ◄────┘         └─ also after mistakes: the user's item and whatever
//!                  (all of an item,           can still be emitted, so that one mistake gives
//!                   each with a code)         one message
//! ```
//!
//! Every mistake has a row in `codes.in`: the stable code, what it means, the fix, and an example
//! of both. The messages take their codes from there, and so do the book's pages and `tests/ui`.

use proc_macro::TokenStream;

mod check;
mod code;
mod expand;
mod model;
mod parse;
mod problem;
mod run;

/// Makes a struct a service: stateless handlers that every hosting node may answer.
///
/// Emits the ref type `<Type>Ref` with the visibility of the struct. The methods come from
/// `#[handlers]` on an inherent `impl` of the same type.
///
/// Settings, in `#[service(…)]`:
///
/// | setting | meaning | default |
/// | --- | --- | --- |
/// | `name = "Greeter"` | the name on the wire, in logs and in metrics | the type's name |
/// | `concurrency = 1024` | calls that run beside each other at most | 1024 |
/// | `mailbox = 1024` | calls that wait at most; one more is refused with `MailboxFull` | 1024 |
/// | `wait = "20ms"` | how long a call may wait, or it is refused with `MailboxFull` | half of its time |
/// | `contract = Greetings` | the contract it implements; no ref of its own is made | none |
/// | `crate = path` | where `callboard` is found, if not under its own name | found in the manifest |
#[proc_macro_derive(Service, attributes(service, actor))]
pub fn derive_service(item: TokenStream) -> TokenStream {
    run::definition(model::Flavor::Service, item.into()).into()
}

/// Makes a struct an actor: its handlers may take `&mut self`, and turns never overlap a writer.
///
/// Emits the ref type `<Type>Ref` with the visibility of the struct. With `key = T` the actor is
/// keyed: reached by its key, activated by its first call. Without, it is spawned, and reached by
/// the ref that spawning gives.
///
/// Settings, in `#[actor(…)]`:
///
/// | setting | meaning | default |
/// | --- | --- | --- |
/// | `name = "Cart"` | the name on the wire, in logs and in metrics | the type's name |
/// | `key = String` | the type of the key | none: a spawned actor |
/// | `persist` | the struct is durable state; needs `key`; a node of this version does not start with it | off |
/// | `handover` | the state goes along when the key's slot moves; it has to be `Wire`; needs `key` | off |
/// | `idle = "10m"` | deactivated after this long without calls; needs `key` | 10 minutes |
/// | `mailbox = 1024` | messages that wait at most | 1024 |
/// | `wait = "20ms"` | how long a call may wait, or it is refused with `MailboxFull` | half of its time |
/// | `readers = 64` | `&self` turns that run beside each other at most | 64 |
/// | `restart = "always"` | or `"never"`: whether a panic restarts it | `"always"` |
/// | `intensity = "5 in 10s"` | more restarts than this quarantine it | 5 in 10 s |
/// | `backoff = "10ms..5s"` | first and longest wait before a restart | 10 ms to 5 s |
/// | `placement = "least_loaded"` | where a spawned actor is made: `local`, where `spawn` is called; `least_loaded`, on a node that `spawn_placed` chooses of those that host it; `pinned`, on one that `spawn_on` is given. A keyed one: `hash` | `local`; keyed: `hash` |
/// | `role = "storage"` | the role that a node needs in its certificate to own keys; needs `key` | none |
/// | `labels = "disk=ssd"` | the labels that a node needs to own keys, with commas between; needs `key` | none |
/// | `zones = "eu-1, eu-2"` | the zones of which a node has to be in one to own keys; needs `key` | any |
/// | `contract = Carts` | the contract it implements; no ref of its own is made | none |
/// | `crate = path` | where `callboard` is found, if not under its own name | found in the manifest |
#[proc_macro_derive(Actor, attributes(service, actor))]
pub fn derive_actor(item: TokenStream) -> TokenStream {
    run::definition(model::Flavor::Actor, item.into()).into()
}

/// Says that `#[derive(Service)]` is missing, which `#[service(…)]` has the settings of: with the
/// derive above it, the attribute is read by the derive, and this does not run.
#[proc_macro_attribute]
pub fn service(settings: TokenStream, item: TokenStream) -> TokenStream {
    run::without_derive(model::Flavor::Service, settings.into(), item.into()).into()
}

/// Says that `#[derive(Actor)]` is missing, which `#[actor(…)]` has the settings of: with the derive
/// above it, the attribute is read by the derive, and this does not run.
#[proc_macro_attribute]
pub fn actor(settings: TokenStream, item: TokenStream) -> TokenStream {
    run::without_derive(model::Flavor::Actor, settings.into(), item.into()).into()
}

/// Lets a type travel in messages: writes its serde impls, its shape fingerprint and its limits.
///
/// Every field has to be `Wire` too. Settings, in `#[wire(…)]`:
///
/// | setting | where | meaning |
/// | --- | --- | --- |
/// | `depth = 32` | type | how deep a recursive type may nest; must be stated, 1 to 256 |
/// | `opaque = "name/1"` | type | it has serde impls of its own; the text is its fingerprint |
/// | `opaque = "name/1"` | field | the field's type has serde impls but is not `Wire` |
/// | `crate = path` | type | where `callboard` is found, if not under its own name |
#[proc_macro_derive(Wire, attributes(wire, serde))]
pub fn wire(item: TokenStream) -> TokenStream {
    run::wire(item.into()).into()
}

/// Makes the `pub` methods of an inherent `impl` callable from anywhere, through the type's ref.
///
/// Every `pub` method with a receiver is a handler: `&self` runs beside other readers, `&mut self`
/// alone. `ctx: &Ctx<Self>` may come first. `-> impl Stream<Item = T> + use<>` streams to the
/// caller, one `Inbound<T>` argument streams from it.
///
/// Options of one handler, in `#[handler(…)]`:
///
/// | option | meaning |
/// | --- | --- |
/// | `skip` | stays an ordinary method |
/// | `idempotent` | running twice is harmless: the runtime may retry |
/// | `once` | duplicates are removed by request id; needs `persist`, and so has no use in this version |
/// | `abort` | a dropped call ends a running `&mut self` turn and the activation |
/// | `timeout = "2s"` | the deadline of a call that sets none; `"none"` for a stream without one |
/// | `name = "add"` | the name on the wire, if not the method's |
/// | `allow = "admin, ops"` | a caller on another node needs one of these roles |
/// | `activate` | no handler: runs before the actor's first turn; may return `Result<(), E>` |
/// | `deactivate` | no handler: runs after its last one, with a `reason: Deactivation` |
///
/// The attribute itself takes `contract = Path` (the `impl` is checked against the contract) and
/// `crate = path`.
#[proc_macro_attribute]
pub fn handlers(settings: TokenStream, item: TokenStream) -> TokenStream {
    run::handlers(settings.into(), item.into()).into()
}

/// Carries the options of one handler inside `#[handlers] impl …`; see there.
///
/// Anywhere else it is a mistake, and says so.
#[proc_macro_attribute]
pub fn handler(settings: TokenStream, item: TokenStream) -> TokenStream {
    run::stray_handler(settings.into(), item.into()).into()
}

/// Makes a contract of a trait: the ref and the message types for callers that must not link the
/// implementation.
///
/// `#[contract(key = String)] pub trait Carts { … }` replaces the trait by a type of the same name
/// and makes `CartsRef`. Without `key` it is the contract of a service, with `spawned` that of a
/// spawned actor. The implementation says `contract = Carts` in `#[actor(…)]` or `#[service(…)]`
/// and in `#[handlers(…)]`. Other settings: `name = "Carts"`, `crate = path`.
#[proc_macro_attribute]
pub fn contract(settings: TokenStream, item: TokenStream) -> TokenStream {
    run::contract(settings.into(), item.into()).into()
}
