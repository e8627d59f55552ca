//! What stands for something that a program got wrong, so that the mistake is told once and in our
//! words. The macros emit it in programs that do not compile, or under a bound that never holds:
//! nothing here runs. Knows nothing of how calls work.

use std::marker::PhantomData;

use callboard_protocol::code::CallError;

use super::{
    envelope::Envelope,
    interface::{Answer, Interface, Method, MethodSignature, Unary},
};

/// A method of `I` whose handler was refused, awaiting which gives a `T`: the calls of it have the
/// types that they are going to have.
#[derive(Debug)]
pub struct Refused<I, T>(PhantomData<fn() -> (I, T)>);

impl<I: Interface, T: Send + 'static> Method for Refused<I, T> {}

impl<I: Interface, T: Send + 'static> MethodSignature for Refused<I, T> {
    type Interface = I;
    type Args = ();
    type Inbound = ();
    type Reply = ();
    type Shape = Unary;
    type Output = T;
    const INDEX: usize = 0;

    fn message(_: Envelope<Self>) -> <Self::Interface as Interface>::Msg {
        unreachable!("a program with a refused handler does not compile")
    }

    fn output(_: Result<Answer<Self>, CallError>) -> Self::Output {
        unreachable!("a program with a refused handler does not compile")
    }
}

/// A type that can be named as a service or an actor, which the ref of `T` is not. Nothing is it.
#[diagnostic::on_unimplemented(
    message = "CB0072: `{Self}` is the ref of `{T}`, and here the type itself is wanted",
    label = "write `{T}`",
    note = "a service is named by its own type, `service::<{T}>()`, and gives a `{Self}`; so are actors"
)]
pub trait NamedByItself<T> {}

/// A type all of whose methods are for callers. Nothing is it: the methods of a ref that have this
/// bound stand for those that are not.
#[diagnostic::on_unimplemented(
    message = "CB0073: this method of `{Self}` is not a handler",
    label = "not a handler",
    note = "a handler is a `pub` method with `&self` or `&mut self` in the `impl {Self}` with `#[handlers]`: \
            write `pub` before its `fn`, and no `#[handler(skip)]`"
)]
pub trait Offers {}
