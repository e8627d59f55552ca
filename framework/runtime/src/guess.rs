//! Functions that a node and a client do not have, and that are written all the same: by the habit of
//! other libraries, or because the other one of the two has them.
//!
//! The compiler would only say that there is no such function. They are found here, and cannot be called:
//! their bound holds for nothing, and says what to write; `for<'any>` has the compiler look at it in the
//! caller's program, and not in this one. Nothing here runs, and nothing depends on it. Why they are written out is
//! said in `call::awaited`.

use std::future::Ready;

use crate::{
    call::Definition,
    client::{Client, ClientBuilder},
    net::StartError,
    node::{Builder, Node},
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
            `Client::builder().seed(\"127.0.0.1:4001\").connect().await?`"
)]
pub trait MadeByGuess: Sized {
    /// Cannot be called.
    fn made<T>() -> T;
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
}
