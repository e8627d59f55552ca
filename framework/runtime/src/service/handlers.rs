//! The trait that `#[handlers]` implements for the user's type: how a message becomes a turn.

use std::future::{Future, ready};

use crate::{
    actor::TurnEnd,
    call::{Definition, Interface},
};

use super::{Ctx, Deactivation, hooks::Told};

/// The turns of a service or an actor. Implemented by `#[handlers]`.
#[diagnostic::on_unimplemented(
    message = "CB0061: `{Self}` has no handlers that can be called",
    note = "write `#[handlers]` above the `impl {Self} {{ … }}` with its `pub` methods; if it is there, write \
            `use callboard::prelude::*;` at the top of the file",
    note = "if this is a ref, name the type that it is the ref of"
)]
pub trait Handlers: Definition + Send + Sync {
    /// The interface that the handlers implement: the type itself, or a contract.
    type Interface: Interface<Key = Self::Key, Ref = Self::Ref>;

    /// Runs a `&self` handler.
    fn run_shared<'a>(
        &'a self,
        ctx: &'a Ctx<Self>,
        message: <Self::Interface as Interface>::Msg,
    ) -> impl Future<Output = TurnEnd> + Send + 'a;

    /// Runs a `&mut self` handler.
    fn run_exclusive<'a>(
        &'a mut self,
        ctx: &'a Ctx<Self>,
        message: <Self::Interface as Interface>::Msg,
    ) -> impl Future<Output = TurnEnd> + Send + 'a;

    /// Whether it has a method with `#[handler(activate)]`.
    const ACTIVATES: bool = false;

    /// Runs the method with `#[handler(activate)]`.
    fn run_activate<'a>(&'a mut self, _: &'a Ctx<Self>) -> impl Future<Output = Told> + Send + 'a {
        ready(Ok(()))
    }

    /// Whether it has a method with `#[handler(deactivate)]`.
    const DEACTIVATES: bool = false;

    /// Runs the method with `#[handler(deactivate)]`.
    fn run_deactivate<'a>(
        &'a mut self,
        _: &'a Ctx<Self>,
        _: Deactivation,
    ) -> impl Future<Output = ()> + Send + 'a {
        ready(())
    }
}
