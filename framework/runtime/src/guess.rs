//! Functions that a node, a client and a context do not have, and that are written all the same: by the habit of
//! other libraries, or because another one of the three has them.
//!
//! The compiler would only say that there is no such function. They are found here, and cannot be called:
//! their bound holds for nothing, and says what to write; `for<'any>` has the compiler look at it in the
//! caller's program, and not in this one. Nothing here runs, and nothing depends on it. Why they are written out is
//! said in `call::awaited`.

use std::{future::Ready, net::SocketAddr, time::Duration};

use crate::{
    call::Definition,
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
    fn made<T>() -> T;
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
    fn told<T>() -> T;
}

/// What there is once only, and is copied by the function below. Nothing of it is.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` is there once, and is not cloned",
    label = "is shared by refs",
    note = "a task that makes calls needs a ref, which is cloned: `let greeter = node.service::<Greeter>();`",
    note = "one that needs the node itself shares it by `Arc::new(node)`; at the end, when such tasks have ended, \
            `Arc::into_inner(node)` gives it back for `.stop().await`"
)]
pub trait SharedByGuess: Sized {
    /// Cannot be called.
    fn shared<T>() -> T;
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
    note = "`ctx.this()` is the actor's own ref, `ctx.caller()` who calls; a handler answers by what it returns",
    note = "what is to happen later is `ctx.after(delay, |this| async move {{ … }})`, and again and again `ctx.every`",
    note = "an actor is stopped from outside: `node.stop_actor(&till, grace)`; one with a key goes to sleep by itself, \
            `#[actor(key = String, idle = \"10m\")]`"
)]
pub trait DoneByContext: Sized {
    /// Cannot be called.
    fn done<T>() -> T;
}

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

    /// Cannot be called.
    #[doc(hidden)]
    pub fn new() -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn stop(self) -> Ready<()>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn nodes(&self) -> Vec<Member>
    where
        for<'any> Self: ToldByGuess,
    {
        Self::told()
    }
}

impl ClientBuilder {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn build(self) -> Ready<Result<Client, StartError>>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn start(self) -> Ready<Result<Client, StartError>>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn listen<T>(self, _: T) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn host<T>(self) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn service<T: Definition>(&self) -> T::Ref
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn actor<T: Definition>(&self, _: impl Sized) -> T::Ref
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }
}

impl Node {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn new() -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn shutdown(self) -> Ready<()>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn close(self) -> Ready<()>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn host<T>(self) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn address(&self) -> SocketAddr
    where
        for<'any> Self: ToldByGuess,
    {
        Self::told()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn addr(&self) -> SocketAddr
    where
        for<'any> Self: ToldByGuess,
    {
        Self::told()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn listen_addr(&self) -> SocketAddr
    where
        for<'any> Self: ToldByGuess,
    {
        Self::told()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn local_address(&self) -> SocketAddr
    where
        for<'any> Self: ToldByGuess,
    {
        Self::told()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn port(&self) -> u16
    where
        for<'any> Self: ToldByGuess,
    {
        Self::told()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn run(&self) -> Ready<()>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn wait(&self) -> Ready<()>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    #[expect(
        clippy::should_implement_trait,
        reason = "it is what the trait would do, and is not to be done"
    )]
    pub fn clone(&self) -> Self
    where
        for<'any> Self: SharedByGuess,
    {
        Self::shared()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn nodes(&self) -> Vec<Member>
    where
        for<'any> Self: ToldByGuess,
    {
        Self::told()
    }
}

impl Builder {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn build(self) -> Ready<Result<Node, StartError>>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn port(self, _: u16) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn bind<T>(self, _: T) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn join<T>(self, _: T) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn connect<T>(self, _: T) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn tls<T, U>(self, _: T, _: U) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn service<T: Definition>(&self) -> T::Ref
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn actor<T: Definition>(&self, _: impl Sized) -> T::Ref
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn spawn<T: Definition>(&self) -> T::Ref
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn stop(self) -> Ready<()>
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn local_addr(&self) -> SocketAddr
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn register<T>(self) -> Self
    where
        for<'any> Self: MadeByGuess,
    {
        Self::made()
    }
}

impl<A: Definition> Ctx<A> {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn stop(&self)
    where
        for<'any> Self: DoneByContext,
    {
        Self::done()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn sender<T>(&self) -> T
    where
        for<'any> Self: DoneByContext,
    {
        Self::done()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn address<T>(&self) -> T
    where
        for<'any> Self: DoneByContext,
    {
        Self::done()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn run_later<F>(&self, _: Duration, _: F)
    where
        for<'any> Self: DoneByContext,
    {
        Self::done()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn self_ref<T>(&self) -> T
    where
        for<'any> Self: DoneByContext,
    {
        Self::done()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn myself<T>(&self) -> T
    where
        for<'any> Self: DoneByContext,
    {
        Self::done()
    }
}
