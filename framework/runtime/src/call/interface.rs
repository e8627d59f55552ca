//! What can be called: the traits that the macros implement for a definition or a contract.
//!
//! An [`Interface`] is the face of a service or an actor: its name, its methods, and the message
//! type that its mailbox holds. A [`Method`] is one row of it. Neither says how a call is carried
//! out; `client` (the caller's side) and `server` (the host's side) do.

use std::{
    any::type_name,
    fmt,
    future::{Ready, ready},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code, HandlerError},
    id::{InterfaceId, MethodId},
    time::Time,
    wire::{Shape as WireShape, ShapeError, ShapeInfo, Wire, shape_of},
};

use tokio::sync::oneshot;

use crate::actor::Settings;

use super::{
    codec::{self, Encoding},
    envelope::{Envelope, Incoming},
    face::FaceMethod,
    handover::Handover,
    hub::Hub,
    inflow::Inflow,
    kind::{Addressing, Kind},
    reference::Ref,
    stream::Streaming,
    term::Term,
};

/// A key of a keyed actor: any value that can be compared, hashed, printed and sent.
///
/// Implemented for every type that meets the bounds.
pub trait Key: Wire + Clone + Eq + Hash + fmt::Debug + Sync {}

impl<T: Wire + Clone + Eq + Hash + fmt::Debug + Sync> Key for T {}

/// The name, kind, key and ref type of a service, an actor or a contract.
///
/// Implemented by `#[derive(Service)]`, `#[derive(Actor)]` and `#[contract]`.
#[diagnostic::on_unimplemented(
    message = "CB0060: `{Self}` is neither a service nor an actor",
    note = "add `#[derive(Service)]` or `#[derive(Actor)]` to it, which makes `{Self}Ref` too; if it has one, \
            write `use callboard::prelude::*;` at the top of the file"
)]
pub trait Definition: Sized + 'static {
    /// The name on the wire, in logs and in metrics.
    const NAME: &'static str;
    /// How its instances are addressed, as a type.
    type Addressing: Addressing;
    /// How its instances are addressed.
    const KIND: Kind = <Self::Addressing as Addressing>::KIND;
    /// The key; [`NoKey`] for services and spawned actors.
    type Key: Key;
    /// The typed handle that callers hold.
    type Ref: Reference<Interface: Interface<Key = Self::Key>>;
    /// The settings that its attributes gave.
    const SETTINGS: Settings;
    /// That its fields may be where turns run. The derive computes it after a look at each of them.
    #[doc(hidden)]
    const CHECKED: bool = true;

    /// Returns how its state travels, if it goes along when the slot of its key moves: what
    /// `#[actor(handover)]` says.
    #[must_use]
    fn handover() -> Option<Handover<Self>> {
        None
    }
}

/// The key of what has none.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct NoKey;

/// A context for a test of what has no key: `Ctx::test(())`.
impl From<()> for NoKey {
    fn from((): ()) -> Self {
        Self
    }
}

impl Wire for NoKey {
    fn describe(shape: &mut WireShape) {
        shape.primitive("()");
    }
}

/// The methods of a definition or a contract, and the message that its mailbox holds.
///
/// Implemented by `#[handlers]` and `#[contract]`.
#[diagnostic::on_unimplemented(
    message = "CB0061: `{Self}` has no handlers that can be called",
    note = "write `#[handlers]` above the `impl {Self} {{ … }}` with its `pub` methods; if it is there, write \
            `use callboard::prelude::*;` at the top of the file",
    note = "if they implement a contract, write `contract = …` below the derive too, and call them by the \
            contract's name"
)]
pub trait Interface: Definition {
    /// One variant for each method.
    type Msg: Send + 'static;
    /// One row for each method, in the order of the variants.
    const METHODS: &'static [MethodSpec];
    /// Decodes a remote call of method `index`.
    ///
    /// # Errors
    /// `BodyUndecodable`, `BodyOverLimit`, or `UnknownMethod` for an index out of range.
    fn open(index: usize, call: Incoming<'_>) -> Result<Self::Msg, CallError>;
    /// Answers a message that will not be run.
    fn refuse(msg: Self::Msg, error: CallError);
    /// Returns the row of `METHODS` that the message belongs to.
    fn index(msg: &Self::Msg) -> usize;
    /// Returns whether nobody waits for the message's reply any more.
    fn abandoned(msg: &Self::Msg) -> bool;
}

/// One method of an interface: its types, as they are written.
pub trait MethodSignature: Sized + Send + 'static {
    /// Where the method belongs.
    type Interface: Interface;
    /// The arguments but for a streamed one, as a tuple.
    type Args;
    /// The item of the streamed argument; `()` when there is none.
    type Inbound;
    /// The reply, or the item of a streamed reply.
    type Reply;
    /// [`Unary`] or [`Streamed`].
    type Shape: Shape;
    /// What awaiting the call gives.
    type Output: Send;
    /// The row in `Interface::METHODS`.
    const INDEX: usize;
    /// Wraps the envelope in the interface's message.
    fn message(envelope: Envelope<Self>) -> <Self::Interface as Interface>::Msg
    where
        Self: Method;
    /// Turns what came back into what the caller gets.
    fn output(result: Result<Answer<Self>, CallError>) -> Self::Output
    where
        Self: Method;

    /// Returns the method's row.
    fn spec() -> &'static MethodSpec {
        &<Self::Interface as Interface>::METHODS[Self::INDEX]
    }
}

/// One method of an interface, whose types travel.
///
/// It is apart from [`MethodSignature`] because the compiler looks at each type with a bound of its
/// own by itself, and at the bounds of a supertrait together: so a type that cannot travel gives one
/// error, also if it is both an argument and the reply. The code of the macros names the other trait,
/// because each mention of this one would ask for the bounds again.
pub trait Method: MethodSignature<Args: Wire, Inbound: Wire, Reply: Wire> {}

/// Finds a method of a contract by the hash of its name. Implemented by `#[contract]` for each
/// method, used by `#[handlers(contract = …)]`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0045: the contract `{Self}` has no method of this name",
    label = "not in the contract",
    note = "add the method to the contract, or make this one private or `#[handler(skip)]`"
)]
pub trait Declares<const NAME_HASH: u64>: Interface {
    /// The method.
    type Method: Method<Interface = Self>;
    /// Takes the envelope out of the message.
    ///
    /// # Errors
    /// The message, when it is for another method.
    fn take(msg: Self::Msg) -> Result<Envelope<Self::Method>, Self::Msg>;
}

/// What a call of `M` gives when it succeeds: the reply, or the stream of replies.
pub type Answer<M> =
    <<M as MethodSignature>::Shape as Shape>::Answer<<M as MethodSignature>::Reply>;

/// The port a handler of `M` answers through.
pub(crate) type Port<M> = super::port::Port<Answer<M>>;

/// The two shapes of a reply. Sealed.
///
/// The bounds on the types are less than `Wire` on purpose: the code of the macros mentions them
/// for every method, and each mention would repeat the error about a type that is not `Wire`.
pub trait Shape: super::sealed::Sealed + Send + 'static {
    /// What the caller gets.
    type Answer<T: Send + 'static>: Send + 'static;
    /// Keeps the streamed argument of the call alive for as long as the answer needs it.
    #[doc(hidden)]
    fn keep_alive<T: Wire>(answer: Self::Answer<T>, alive: Alive) -> Self::Answer<T>;
    /// Ends the answer with the call's deadline, if it is one that lasts.
    #[doc(hidden)]
    fn until<T: Send>(
        answer: Self::Answer<T>,
        term: impl FnOnce() -> Option<Term>,
    ) -> Self::Answer<T>;
    /// Makes the answer from what came over the wire.
    #[doc(hidden)]
    fn receive<T: Wire>(answer: WireAnswer<'_>) -> Result<Self::Answer<T>, CallError>;
}

/// What came back over the wire for a call that succeeded.
#[doc(hidden)]
#[derive(Debug)]
pub struct WireAnswer<'a> {
    pub(crate) body: Encoding<'a>,
    /// The call's own stream, of a streamed call.
    pub(crate) frames: Option<Inflow>,
    pub(crate) hub: &'a Arc<Hub>,
    pub(crate) method: &'a FaceMethod,
}

/// Breaks the streamed argument of a call when it is dropped.
pub(crate) type Alive = Option<oneshot::Sender<()>>;

/// One reply.
#[derive(Clone, Copy, Debug)]
pub enum Unary {}

/// A stream of replies.
#[derive(Clone, Copy, Debug)]
pub enum Streamed {}

impl Shape for Unary {
    type Answer<T: Send + 'static> = T;

    fn keep_alive<T: Wire>(answer: T, alive: Alive) -> T {
        drop(alive);
        answer
    }

    fn until<T: Send>(answer: T, _: impl FnOnce() -> Option<Term>) -> T {
        answer
    }

    fn receive<T: Wire>(answer: WireAnswer<'_>) -> Result<T, CallError> {
        codec::decode_reply(answer.body, answer.hub, answer.method)
    }
}

impl Shape for Streamed {
    type Answer<T: Send + 'static> = Streaming<T>;

    fn keep_alive<T: Wire>(answer: Streaming<T>, alive: Alive) -> Streaming<T> {
        answer.keep_alive(alive)
    }

    fn until<T: Send>(answer: Streaming<T>, term: impl FnOnce() -> Option<Term>) -> Streaming<T> {
        answer.until(term())
    }

    fn receive<T: Wire>(answer: WireAnswer<'_>) -> Result<Streaming<T>, CallError> {
        let WireAnswer {
            frames,
            hub,
            method,
            ..
        } = answer;
        let frames = frames.ok_or_else(|| method.spec.error(Code::StreamBroken))?;
        Ok(Streaming::remote(frames, hub.clone(), method))
    }
}

/// The typed handle of an interface. Its functions take no `self`, so that a handler may have any
/// name: `CartRef::key(&cart)`.
#[diagnostic::on_unimplemented(
    message = "CB0072: `{Self}` is not a ref, and here one is wanted",
    label = "not a ref",
    note = "`service`, `actor` and `spawn` return refs; that of `Greeter` is `GreeterRef`"
)]
pub trait Reference: Clone + Eq + Hash + fmt::Debug + Wire + Sync {
    /// What the handle points at.
    type Interface: Definition<Ref = Self>;
    /// Wraps the untyped-by-method handle.
    #[doc(hidden)]
    fn from_raw(raw: Ref<Self::Interface>) -> Self;
    /// Returns the wrapped handle.
    #[doc(hidden)]
    fn as_raw(this: &Self) -> &Ref<Self::Interface>;

    /// Cannot be called: says how a ref is had.
    #[doc(hidden)]
    #[must_use]
    fn new() -> Self
    where
        Self: MadeByHand,
    {
        Self::by_hand()
    }

    /// Cannot be called: says how an actor is told something.
    #[doc(hidden)]
    fn send<T>(&self, _: T) -> Ready<Self::Told>
    where
        Self: ToldByHand,
    {
        ready(Self::told())
    }

    /// Cannot be called.
    #[doc(hidden)]
    fn do_send<T>(&self, _: T)
    where
        Self: ToldByHand,
    {
        Self::told();
    }

    /// Cannot be called.
    #[doc(hidden)]
    fn tell<T>(&self, _: T) -> Ready<Self::Told>
    where
        Self: ToldByHand,
    {
        ready(Self::told())
    }

    /// Cannot be called.
    #[doc(hidden)]
    fn ask<T>(&self, _: T) -> Ready<Self::Told>
    where
        Self: ToldByHand,
    {
        ready(Self::told())
    }

    /// Cannot be called.
    #[doc(hidden)]
    fn stop(&self) -> Ready<Self::Stopped>
    where
        Self: StoppedByHand,
    {
        ready(Self::stopped())
    }

    /// Cannot be called: says how the end of an actor is heard of.
    #[doc(hidden)]
    fn watch(&self) -> Ready<Self::Seen>
    where
        Self: WatchedByHand,
    {
        ready(Self::seen())
    }

    /// Cannot be called.
    #[doc(hidden)]
    fn is_alive(&self) -> bool
    where
        Self: WatchedByHand,
    {
        let _ = Self::seen();
        false
    }

    /// Returns the key; for a service or a spawned actor, `NoKey`.
    fn key(this: &Self) -> &<Self::Interface as Definition>::Key {
        Self::as_raw(this).key()
    }
}

/// A ref that takes messages. None does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` takes no messages: what can be said to it are its methods",
    label = "is called by its methods",
    note = "they have the names of the `pub` methods under `#[handlers]`: write `till.ring(5).await` for the reply, and \
            `till.ring(5).send().await` to go on without one"
)]
pub trait ToldByHand: Sized {
    /// What would have come of it.
    type Told;
    /// Cannot be called.
    fn told() -> Self::Told;
}

/// A ref that stops what it is of. None does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` cannot stop what it is the ref of, which belongs to its node",
    label = "is stopped by its node",
    note = "on the node that has the actor: `node.stop_actor(&till, Duration::from_secs(1)).await`, with the time that \
            what waits in its mailbox is given; in a handler `ctx.stop_actor(&till, …).await`, and an actor ends itself by \
            `ctx.stop(…)`",
    note = "an actor with a key goes to sleep by itself, `#[actor(key = String, idle = \"10m\")]`; a service ends with \
            its node"
)]
pub trait StoppedByHand: Sized {
    /// What would have come of it.
    type Stopped;
    /// Cannot be called.
    fn stopped() -> Self::Stopped;
}

/// A ref that tells whether its actor is there. None does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` does not tell of its actor's end",
    label = "is told by `callboard::watch`",
    note = "`callboard::watch(&till).await` returns when the actor will not run again, with the reason; whether it runs \
            now is what a call says"
)]
pub trait WatchedByHand: Sized {
    /// What would be told.
    type Seen;
    /// Cannot be called.
    fn seen() -> Self::Seen;
}

/// A ref that needs no node. None is one.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0074: a ref is not made by hand, because it belongs to a node: `{Self}::new` does not exist",
    label = "a ref comes from a node",
    note = "a service's comes from `node.service::<Greeter>()`, that of an actor with a key from \
            `node.actor::<Cart>(key)`, that of another one from `node.spawn::<Room>()`; in a handler `ctx` \
            has the same functions, and a client the first two"
)]
pub trait MadeByHand: Sized {
    /// Cannot be called.
    fn by_hand() -> Self;
}

/// One row of an interface: what caller and host need to know of a method besides its types.
#[derive(Clone, Copy, Debug)]
pub struct MethodSpec {
    /// The interface's name.
    pub interface: &'static str,
    /// The method's declared name.
    pub name: &'static str,
    /// The hash of both names.
    pub id: MethodId,
    /// What its attributes say.
    pub options: Options,
    /// Computes the fingerprints of its types.
    pub shapes: fn() -> Result<MethodShapes, ShapeError>,
}

/// The attributes of a handler.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Takes `&mut self`: runs alone.
    pub exclusive: bool,
    /// Running twice is harmless: the runtime may retry a call that may have run.
    pub idempotent: bool,
    /// Duplicates are removed by request id.
    pub once: bool,
    /// A dropped call ends the activation in the middle of a `&mut self` turn.
    pub abort: bool,
    /// The deadline of a call that sets none, in milliseconds; `u64::MAX` for no deadline.
    pub timeout_ms: Option<u64>,
    /// Replies with a stream.
    pub streams_reply: bool,
    /// Takes an `Inbound` argument.
    pub streams_args: bool,
    /// The roles of which a caller on another node needs one; empty if it needs none.
    pub allow: &'static [&'static str],
}

impl MethodSpec {
    /// Makes a row.
    #[must_use]
    pub const fn new(
        interface: &'static str,
        name: &'static str,
        options: Options,
        shapes: fn() -> Result<MethodShapes, ShapeError>,
    ) -> Self {
        Self {
            interface,
            name,
            id: MethodId::of(interface, name),
            options,
            shapes,
        }
    }

    /// Returns the deadline of a call that sets none.
    #[must_use]
    pub fn default_timeout(&self) -> Duration {
        self.options
            .timeout_ms
            .map_or(TIMEOUT_DEFAULT, Duration::from_millis)
    }

    /// Returns by when the reply of a call that began at a time has to be there, or to have begun if
    /// it is a stream: a stream may be without a deadline, but nobody waits for it without one.
    pub(super) fn answers_by(&self, deadline: Time, began: Time) -> Time {
        match self.options.streams_reply && deadline == Time::MAX {
            true => began + TIMEOUT_DEFAULT,
            false => deadline,
        }
    }

    /// Makes the error of this method with the given code.
    #[must_use]
    pub fn error(&self, code: Code) -> CallError {
        CallError::new(code, format!("method {}", self.path()))
    }

    /// Makes the error of this method as it is on a node, which `node` names: `node n2`.
    pub(crate) fn error_on(&self, code: Code, node: &str) -> CallError {
        CallError::new(code, format!("method {} on {node}", self.path()))
    }

    /// Returns `"Interface/method"`, as errors, logs and metrics name it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", self.interface, self.name)
    }
}

/// The fingerprints and depths of a method's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodShapes {
    /// Of the argument tuple.
    pub args: ShapeInfo,
    /// Of the streamed argument's items.
    pub inbound: ShapeInfo,
    /// Of the reply or its items.
    pub reply: ShapeInfo,
    /// What this program calls these three types.
    pub types: [&'static str; 3],
}

/// Computes the shapes of `M`.
///
/// # Errors
/// [`ShapeError`] when a recursive type states no depth.
pub fn shapes_of<M: Method>() -> Result<MethodShapes, ShapeError> {
    Ok(MethodShapes {
        args: shape_of::<M::Args>()?,
        inbound: shape_of::<M::Inbound>()?,
        reply: shape_of::<M::Reply>()?,
        types: [
            type_name::<M::Args>(),
            type_name::<M::Inbound>(),
            type_name::<M::Reply>(),
        ],
    })
}

/// Returns the id of an interface.
pub(crate) const fn interface_id<I: Definition>() -> InterfaceId {
    // Hashed when it is compiled: a call asks for it several times.
    const { InterfaceId::of(I::NAME) }
}

/// `Result`, as the macros see it in a handler's return type, aliases included.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has the name of `Result`, and is another type",
    label = "not a `Result`",
    note = "what a handler replies with is taken for a `Result` by its name: give the type another one, or one \
            for this place, as in `use exam::Result as Mark;`"
)]
pub trait Fallible {
    /// The success.
    type Ok;
    /// The failure.
    type Err;
    /// Returns itself as a plain `Result`.
    ///
    /// # Errors
    /// The value, when it is one.
    fn into_result(self) -> Result<Self::Ok, Self::Err>;
}

impl<T, E> Fallible for Result<T, E> {
    type Ok = T;
    type Err = E;
    fn into_result(self) -> Self {
        self
    }
}

/// Merges the handler's own result with the call's.
///
/// # Errors
/// `App` for the handler's error, `Call` for the call's.
pub fn flatten<R: Fallible>(result: Result<R, CallError>) -> Result<R::Ok, HandlerError<R::Err>> {
    match result.map(Fallible::into_result) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(HandlerError::App(error)),
        Err(error) => Err(HandlerError::Call(error)),
    }
}

/// Long enough for anything but a stuck system, short enough that a caller hears of one.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
