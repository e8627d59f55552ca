//! Functions that a node, a client, a context and a call do not have, and that are written all the same: by the habit of
//! other libraries, or because another one of the three has them.
//!
//! The compiler would only say that there is no such function. They are found here, and cannot be called:
//! their bound holds for nothing, and says what to write; `for<'any>` has the compiler look at it in the
//! caller's program, and not in this one. Nothing here runs, and nothing depends on it.

use std::{future::Ready, net::SocketAddr, time::Duration};

use callboard_protocol::code::{CallError, HandlerError};

use crate::{
    call::{Call, Definition, Method},
    client::{Client, ClientBuilder},
    net::StartError,
    node::{Builder, Member, Node},
    service::Ctx,
};

/// What a client hosts. Nothing is it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0076: a client hosts nothing, so it cannot spawn `{Self}`",
    label = "is spawned on a node",
    note = "let a handler of a service on a node spawn it, with `ctx.spawn::<{Self}>()`, and reply with its ref, \
            `{Self}Ref`: the client calls through that",
    note = "for one actor for each name, write `#[actor(key = String)]` and call `client.actor::<{Self}>(key)`"
)]
pub trait HostedByClients: Sized {
    /// Cannot be called.
    fn spawned<T>() -> T;
}

/// What is made or set up by the functions below. Nothing is.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` has no function of this name",
    label = "is done by another one",
    note = "a node: `Node::builder().listen(\"127.0.0.1:4001\").host::<Greeter>().start().await?`",
    note = "a client: `Client::connect(\"127.0.0.1:4001\").await?`, or with settings \
            `Client::builder().seed(\"127.0.0.1:4001\").connect().await?`",
    note = "a node joins by `.seed(\"127.0.0.1:4002\")` at its builder, and says who it is by `.identity(…)`; it ends by \
            `node.stop().await`, a client by `client.close().await`",
    note = "in between, it runs for as long as it is kept: `tokio::signal::ctrl_c().await?` waits for what ends a program"
)]
pub trait MadeByGuess: Sized {
    /// Cannot be called.
    fn guessed<T>() -> T;
}

/// What spawns actors by the functions below. Nothing does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` has no function of this name",
    label = "is `spawn`",
    note = "`node.spawn::<Till>()` makes an actor, and `node.spawn_with(|_ctx| Till {{ … }})` one that begins from what is said",
    note = "one with a key is not made: its first call does, by `node.actor::<Cart>(\"ada\")`"
)]
pub trait SpawnedByGuess: Sized {
    /// Cannot be called.
    fn guessed<T>() -> T;
}

/// What tells its address by the functions below. Nothing does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` has no function of this name",
    label = "has another name",
    note = "where a node listens is `node.local_addr()`, a `SocketAddr` with the port that it got",
    note = "who it is, is `node.name()` and `node.id()`; the nodes of its cluster are `node.members()`, and those that \
            a client knows `client.members()`"
)]
pub trait ToldByGuess: Sized {
    /// Cannot be called.
    fn guessed<T>() -> T;
}

/// What sends messages by the functions below. Nothing does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` sends no messages: what is called is a ref",
    label = "is done by a method of a ref",
    note = "a service: `node.service::<Greeter>().say_hello(\"Ada\").await?`; an actor with a key: \
            `node.actor::<Cart>(\"ada\").items().await?`; a client has the same two functions",
    note = "an actor without a key is called by the ref that `spawn` gave: `let till = node.spawn::<Till>();` and \
            `till.ring(5).await?`, or `till.ring(5).send().await?` to go on without the reply"
)]
pub trait SentByGuess: Sized {
    /// Cannot be called.
    fn guessed<T>() -> T;
}

/// A contract `T` that is hosted without an implementation. None is. Of a type's own bound the compiler would tell that
/// it has no handlers; so the bound is on another type.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0061: `{T}` is a contract, which has no handlers of its own",
    label = "a contract",
    note = "name the type that implements it: its `impl` has `#[handlers(contract = {T})]`; callers name the contract"
)]
pub trait HostedByItself<T>: Sized {
    /// Cannot be called.
    fn hosted() -> T;
}

/// What a context does in other libraries. None of ours does it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: a context has no function of this name",
    label = "is done by another one",
    note = "`ctx.this()` is the actor's own ref, `ctx.caller()` who calls, `ctx.node_name()` the node that it runs on; a \
            handler answers by what it returns",
    note = "others are reached by `ctx.service::<Greeter>()` and `ctx.actor::<Cart>(\"ada\")`, and new ones made by \
            `ctx.spawn::<Till>()`; that one has ended is told by `callboard::watch(&till).await`",
    note = "a name in the cluster is claimed by the actor that is to have it, `ctx.claim_name(\"lobby\").await`, or given on a node, \
            `node.spawn_named::<Room>(\"lobby\").await`",
    note = "what is to happen later is `ctx.after(delay, |this| async move {{ … }})`, and again and again `ctx.every`",
    note = "an actor ends itself by `ctx.stop(grace)`, and one that it has spawned by `ctx.stop_actor(&till, grace).await`; \
            one with a key goes to sleep by itself, `#[actor(key = String, idle = \"10m\")]`"
)]
pub trait DoneByContext: Sized {
    /// Cannot be called.
    fn guessed<T>() -> T;
}

/// A call that is made again as often as is said. None is.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: a call has no function of this name",
    label = "is done by the runtime",
    note = "write `#[handler(idempotent)]` on a handler that may run twice: the runtime then makes its calls again where \
            one is lost, until their deadline; a call of another handler may have run, and is not made again",
    note = "how long a call may take, with all that, is `.timeout(Duration::from_secs(2))`, before the `.await`"
)]
pub trait RetriedByGuess: Sized {
    /// Cannot be called.
    fn guessed<T>() -> T;
}

/// The result of a call whose settings are still to be set. None is.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: the call has been made: its time is set before that",
    label = "comes too late",
    note = "write `.timeout(…)` before the `.await`: `till.ring(5).timeout(Duration::from_secs(2)).await?`"
)]
pub trait SetBefore: Sized {}

/// Finds what is written behind the `.await` of a call, and belongs before it.
#[doc(hidden)]
pub trait SetTooLate: Sized {
    /// Cannot be called.
    #[must_use]
    fn timeout<T>(self, _: T) -> Self
    where
        for<'any> Self: SetBefore,
    {
        self
    }
}

impl<T> SetTooLate for Result<T, CallError> {}

impl<T, E> SetTooLate for Result<T, HandlerError<E>> {}

/// Writes functions of a type that are there to be found: their bound holds for nothing, and has the words. The name
/// and the bound of each are tokens of the line that lists it, so that the compiler shows that line.
macro_rules! guesses {
    (
        [$($param:tt)*] $of:ty:
        $(
            fn $name:ident $([$($generic:tt)*])? ($($args:tt)*) $(-> $gives:ty)? where [$($bound:tt)*];
        )*
    ) => {
        impl<$($param)*> $of {
            $(
                /// Cannot be called.
                #[doc(hidden)]
                pub fn $name $(<$($generic)*>)? ($($args)*) $(-> $gives)?
                where
                    for<'any> Self: $($bound)*,
                {
                    <Self as $($bound)*>::guessed()
                }
            )*
        }
    };
}

guesses! {
    [] Client:
    fn new() -> Self where [MadeByGuess];
    fn stop(self) -> Ready<()> where [MadeByGuess];
    fn nodes(&self) -> Vec<Member> where [ToldByGuess];
    fn call [T](&self, _: impl Sized, _: impl Sized) -> Reply<String> where [SentByGuess];
    fn ask [R](&self, _: impl Sized, _: impl Sized) -> Reply<R> where [SentByGuess];
    fn send [R](&self, _: impl Sized, _: impl Sized) -> Reply<R> where [SentByGuess];
    fn tell [R](&self, _: impl Sized, _: impl Sized) -> Reply<R> where [SentByGuess];
}

guesses! {
    [] ClientBuilder:
    fn build(self) -> Ready<Result<Client, StartError>> where [MadeByGuess];
    fn start(self) -> Ready<Result<Client, StartError>> where [MadeByGuess];
    fn listen [T](self, _: T) -> Self where [MadeByGuess];
    fn host [T](self) -> Self where [MadeByGuess];
    fn service [T: Definition](&self) -> T::Ref where [MadeByGuess];
    fn actor [T: Definition](&self, _: impl Sized) -> T::Ref where [MadeByGuess];
}

guesses! {
    [] Node:
    fn new() -> Self where [MadeByGuess];
    fn shutdown(&self) -> Ready<()> where [MadeByGuess];
    fn close(&self) -> Ready<()> where [MadeByGuess];
    fn host [T](&self) -> Self where [MadeByGuess];
    fn run(&self) -> Ready<()> where [MadeByGuess];
    fn wait(&self) -> Ready<()> where [MadeByGuess];
    fn address(&self) -> SocketAddr where [ToldByGuess];
    fn addr(&self) -> SocketAddr where [ToldByGuess];
    fn listen_addr(&self) -> SocketAddr where [ToldByGuess];
    fn local_address(&self) -> SocketAddr where [ToldByGuess];
    fn port(&self) -> u16 where [ToldByGuess];
    fn nodes(&self) -> Vec<Member> where [ToldByGuess];
    fn get [T: Definition](&self) -> T::Ref where [SentByGuess];
    fn register [T](&self, _: T) where [MadeByGuess];
    fn actor_of [T: Definition](&self) -> T::Ref where [SpawnedByGuess];
    fn spawn_actor [T: Definition](&self) -> T::Ref where [SpawnedByGuess];
    fn start_actor [T: Definition](&self) -> T::Ref where [SpawnedByGuess];
    fn call [T](&self, _: impl Sized, _: impl Sized) -> Reply<String> where [SentByGuess];
    fn ask [R](&self, _: impl Sized, _: impl Sized) -> Reply<R> where [SentByGuess];
    fn send [R](&self, _: impl Sized, _: impl Sized) -> Reply<R> where [SentByGuess];
    fn tell [R](&self, _: impl Sized, _: impl Sized) -> Reply<R> where [SentByGuess];
}

guesses! {
    [] Builder:
    fn build(self) -> Ready<Result<Node, StartError>> where [MadeByGuess];
    fn port(self, _: u16) -> Self where [MadeByGuess];
    fn bind [T](self, _: T) -> Self where [MadeByGuess];
    fn join [T](self, _: T) -> Self where [MadeByGuess];
    fn connect [T](self, _: T) -> Self where [MadeByGuess];
    fn tls [T, U](self, _: T, _: U) -> Self where [MadeByGuess];
    fn service [T: Definition](&self) -> T::Ref where [MadeByGuess];
    fn actor [T: Definition](&self, _: impl Sized) -> T::Ref where [MadeByGuess];
    fn spawn [T: Definition](&self) -> T::Ref where [MadeByGuess];
    fn stop(self) -> Ready<()> where [MadeByGuess];
    fn local_addr(&self) -> SocketAddr where [MadeByGuess];
    fn register [T](self) -> Self where [MadeByGuess];
    fn add_service [T](self, _: T) -> Self where [MadeByGuess];
}

guesses! {
    [M: Method] Call<M>:
    fn retry [T](self, _: T) -> Self where [RetriedByGuess];
    fn retries [T](self, _: T) -> Self where [RetriedByGuess];
    fn with_retries [T](self, _: T) -> Self where [RetriedByGuess];
}

guesses! {
    [A: Definition] Ctx<A>:
    fn stop_self(&self) where [DoneByContext];
    fn terminate(&self) where [DoneByContext];
    fn shutdown(&self) where [DoneByContext];
    fn stop_child [T](&self, _: T) where [DoneByContext];
    fn node [T](&self) -> T where [DoneByContext];
    fn system [T](&self) -> T where [DoneByContext];
    fn name [T](&self) -> T where [DoneByContext];
    fn id [T](&self) -> T where [DoneByContext];
    fn reply [T](&self, _: T) where [DoneByContext];
    fn notify [T](&self, _: T) where [DoneByContext];
    fn watch [T](&self, _: T) -> Ready<()> where [DoneByContext];
    fn sender [T](&self) -> T where [DoneByContext];
    fn address [T](&self) -> T where [DoneByContext];
    fn run_later [F](&self, _: Duration, _: F) where [DoneByContext];
    fn self_ref [T](&self) -> T where [DoneByContext];
    fn spawn_named [T: Definition](&self, _: impl Sized) -> Reply<T::Ref> where [DoneByContext];
    fn notify_later [T](&self, _: T, _: Duration) where [DoneByContext];
    fn run_interval [F](&self, _: Duration, _: F) where [DoneByContext];
    fn schedule_once [T, U](&self, _: Duration, _: T, _: U) where [DoneByContext];
    fn send_after [F](&self, _: Duration, _: F) where [DoneByContext];
    fn myself [T](&self) -> T where [DoneByContext];
}

/// What a message that is sent by guess would be answered with.
type Reply<T> = Ready<Result<T, CallError>>;

impl Client {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn spawn<T: Definition + HostedByClients>(&self) -> T::Ref {
        T::spawned()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn spawn_with<T: Definition + HostedByClients>(&self, _: impl Fn(&Ctx<T>) -> T) -> T::Ref {
        T::spawned()
    }
}
