//! How the instances of an interface are addressed: as a value, and as a type that the compiler
//! checks before there is a value.
//!
//! Each trait below says what can be done with one kind, for a definition `T`, so that a mistake is
//! told about `T`. What is done is in `service`. Depends on `interface`.

use super::interface::Definition;

/// Says how the instances of an interface are addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Stateless handlers; every node that hosts it may answer.
    Service,
    /// An actor without a key; it lives on the node that it was made on.
    Spawned,
    /// An actor with a key; activated by its first call.
    Keyed,
}

/// [`Kind::Service`] as a type.
#[derive(Clone, Copy, Debug)]
pub enum IsService {}

/// [`Kind::Spawned`] as a type, of actors that are made where `spawn` is called.
#[derive(Clone, Copy, Debug)]
pub enum IsSpawned {}

/// [`Kind::Spawned`] as a type, of actors that say `placement = "least_loaded"`.
#[derive(Clone, Copy, Debug)]
pub enum IsLeastLoaded {}

/// [`Kind::Spawned`] as a type, of actors that say `placement = "pinned"`.
#[derive(Clone, Copy, Debug)]
pub enum IsPinned {}

/// [`Kind::Keyed`] as a type.
#[derive(Clone, Copy, Debug)]
pub enum IsKeyed {}

/// A [`Kind`] as a type. Sealed.
pub trait Addressing: super::sealed::Sealed + 'static {
    /// The value.
    const KIND: Kind;
}

impl Addressing for IsService {
    const KIND: Kind = Kind::Service;
}

impl Addressing for IsSpawned {
    const KIND: Kind = Kind::Spawned;
}

impl Addressing for IsLeastLoaded {
    const KIND: Kind = Kind::Spawned;
}

impl Addressing for IsPinned {
    const KIND: Kind = Kind::Spawned;
}

impl Addressing for IsKeyed {
    const KIND: Kind = Kind::Keyed;
}

/// The kind of what a ref can be had of by its type alone: of services.
#[diagnostic::on_unimplemented(
    message = "CB0065: `{T}` is an actor, and not a service",
    label = "of an actor",
    note = "an actor with a key is reached by `actor::<{T}>(key)`",
    note = "an actor without a key is reached by the ref that `spawn::<{T}>()` returned: keep it, or \
            hand it on in a message or a reply"
)]
pub trait ReachedByType<T>: Addressing {}

impl<T> ReachedByType<T> for IsService {}

/// The kind of what a ref can be had of by a key.
#[diagnostic::on_unimplemented(
    message = "CB0065: `{T}` has no key",
    label = "without a key",
    note = "a service is reached by `service::<{T}>()`",
    note = "an actor without a key is reached by the ref that `spawn::<{T}>()` returned: keep it, or \
            hand it on in a message or a reply; for a key, write `#[actor(key = String)]`"
)]
pub trait ReachedByKey<T: Definition>: Addressing {
    /// The key. It is named here so that what has none gives one error, and not another one about the
    /// key that was handed over.
    type Key: From<T::Key> + Into<T::Key>;
}

impl<T: Definition> ReachedByKey<T> for IsKeyed {
    type Key = T::Key;
}

/// What the key of `T` can be made of: everything that is `Into` the key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no key of `{T}`: its key is a `{K}`",
    label = "is no `{K}`, and does not become one by `.into()`",
    note = "the key is what `#[actor(key = …)]` of `{T}` says"
)]
pub trait KeyOf<T, K>: Into<K> {}

#[diagnostic::do_not_recommend]
impl<T, K, S: Into<K>> KeyOf<T, K> for S {}

/// The kind of what has a key in its context.
#[diagnostic::on_unimplemented(
    message = "CB0065: `{T}` has no key, so there is none in its context",
    label = "without a key",
    note = "for a key, write `#[actor(key = String)]` below `#[derive(Actor)]`; an actor is then reached by \
            `actor::<{T}>(key)`"
)]
pub trait HasKey<T: Definition, K>: Addressing {
    /// Returns the key. Its type follows from the bound: where that does not hold the key has no type, of which
    /// the compiler could say more.
    fn key(key: &T::Key) -> &K;
}

impl<T: Definition> HasKey<T, T::Key> for IsKeyed {
    fn key(key: &T::Key) -> &T::Key {
        key
    }
}

/// The kind of what a node hosts: services, actors with keys, and those without that are placed.
#[diagnostic::on_unimplemented(
    message = "CB0065: `{T}` is an actor without a key, which is not hosted but spawned",
    label = "without a key",
    note = "spawn it once the node runs: `node.spawn::<{T}>()`; or give it a key, so that its first \
            call makes it: `#[actor(key = String)]`",
    note = "for other nodes to have it made here, write `#[actor(placement = \"least_loaded\")]`"
)]
pub trait CanBeHosted<T>: Addressing {}

impl<T> CanBeHosted<T> for IsService {}
impl<T> CanBeHosted<T> for IsKeyed {}
impl<T> CanBeHosted<T> for IsLeastLoaded {}
impl<T> CanBeHosted<T> for IsPinned {}

/// The kind of what is spawned: actors without keys.
#[diagnostic::on_unimplemented(
    message = "CB0065: `{T}` is not spawned: it is a service, or an actor with a key",
    label = "is not spawned",
    note = "host it: `Node::builder().host::<{T}>()`; then `service::<{T}>()` reaches a service, and \
            `actor::<{T}>(key)` an actor"
)]
pub trait CanBeSpawned<T>: Addressing {}

impl<T> CanBeSpawned<T> for IsSpawned {}
impl<T> CanBeSpawned<T> for IsLeastLoaded {}
impl<T> CanBeSpawned<T> for IsPinned {}

/// The kind of what `spawn` makes where it is called. What is not spawned at all is refused by [`CanBeSpawned`].
#[diagnostic::on_unimplemented(
    message = "CB0083: `{T}` says where its actors are to be, and this function makes them here",
    label = "has a `placement`",
    note = "of `placement = \"least_loaded\"` the cluster chooses the node: `spawn_placed::<{T}>().await?`",
    note = "with `least_loaded` or `pinned` you can name the node: `spawn_on::<{T}>(\"n2\").await?`",
    note = "nodes make it that host it, `Node::builder().host::<{T}>()`; to have it here in any case, remove `placement`"
)]
pub trait SpawnedHere<T>: Addressing {}

impl<T> SpawnedHere<T> for IsSpawned {}
#[diagnostic::do_not_recommend]
impl<T> SpawnedHere<T> for IsService {}
#[diagnostic::do_not_recommend]
impl<T> SpawnedHere<T> for IsKeyed {}

/// The kind of what the cluster chooses the node of.
#[diagnostic::on_unimplemented(
    message = "CB0083: the cluster does not choose the node of `{T}`",
    label = "is not placed by load",
    note = "write `#[actor(placement = \"least_loaded\")]` below the derive of an actor without a key, and host it on \
            nodes: `Node::builder().host::<{T}>()`",
    note = "of `placement = \"pinned\"` you name the node: `spawn_on::<{T}>(\"n2\").await?`; without `placement` it is made \
            here: `spawn::<{T}>()`"
)]
pub trait PlacedByLoad<T>: Addressing {}

impl<T> PlacedByLoad<T> for IsLeastLoaded {}

/// The kind of what is made on a node that the caller names.
#[diagnostic::on_unimplemented(
    message = "CB0083: `{T}` is not made on another node",
    label = "is not placed",
    note = "write `#[actor(placement = \"pinned\")]` below the derive of an actor without a key, and host it on nodes: \
            `Node::builder().host::<{T}>()`; without `placement` it is made here: `spawn::<{T}>()`"
)]
pub trait PlacedByName<T>: Addressing {}

impl<T> PlacedByName<T> for IsLeastLoaded {}
impl<T> PlacedByName<T> for IsPinned {}

/// What an implementation of a contract is, of which the contract says `Self` and it says `P` itself, by `placement`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0083: `placement` is for actors without a key, and the contract is of something else",
    label = "not of a spawned actor",
    note = "remove `placement`, or write `#[contract(spawned)]`"
)]
pub trait Placeable<P>: Addressing {
    /// `P`.
    type Placed: Addressing;
}

impl<P: Addressing> Placeable<P> for IsSpawned {
    type Placed = P;
}

/// What a service or an actor begins from where nothing else is said.
///
/// Implemented for every type that has a [`Default`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no `Default`, from which it would begin",
    label = "begins from its `Default`",
    note = "write `#[derive(Default)]` above it, or say what it begins from: `spawn_with(|_ctx| {Self} {{ … }})` in place of \
            `spawn`, `host_with` in place of `host`"
)]
pub trait Begins: Sized {
    /// Makes it.
    fn begun() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> Begins for T {
    fn begun() -> Self {
        Self::default()
    }
}

/// The kind of what may end itself: actors without keys.
#[diagnostic::on_unimplemented(
    message = "CB0065: `{T}` does not end itself: it is a service, or an actor with a key",
    label = "does not end itself",
    note = "an actor with a key goes to sleep when nobody calls it, and is activated by its next call: \
            `#[actor(key = String, idle = \"10m\")]`",
    note = "a service runs for as long as its node, which `node.stop().await` ends"
)]
pub trait EndsItself<T>: Addressing {}

impl<T> EndsItself<T> for IsSpawned {}
impl<T> EndsItself<T> for IsLeastLoaded {}
impl<T> EndsItself<T> for IsPinned {}
