//! What the macros ask of a definition that no macro sees as a whole: whether a field may be where
//! turns run, whether the type derives both kinds, whether its handlers stand in one place.
//!
//! The compiler then says so under the user's token, and with what to do. [`Handlers`](super::Handlers)
//! asks the first of the whole type, in the compiler's own words. Depends on the kinds of
//! `call`.

use std::marker::PhantomData;

use crate::call::kind::IsService;

/// Asks whether `T` may be where turns run: on any thread, and on several at once for readers.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

impl<T: ?Sized + Send + Sync> Probe<T> {
    /// The answer, where this `impl` applies.
    pub const FITS: bool = true;
}

/// What `#[derive(Actor)]` says of its type.
pub trait DerivesActor {}

impl<T: ?Sized + DerivesActor> Probe<T> {
    /// The answer, where this `impl` applies.
    pub const IS_ACTOR: bool = true;
}

/// Which derive a type has; of both, `Actor`. All that each emits is said under the bound that it is the one, so
/// that of a type with both there is one of everything, and the mistake is told once.
pub trait OneKind {
    /// [`IsActor`] or [`IsService`].
    type Kind;
}

/// The kind of `#[derive(Actor)]`.
#[derive(Clone, Copy, Debug)]
pub enum IsActor {}

/// What [`Probe`] answers where its own `impl`s do not apply.
pub trait Otherwise {
    /// The answer.
    const FITS: bool = false;
    /// The answer.
    const IS_ACTOR: bool = false;
}

impl<T: ?Sized> Otherwise for Probe<T> {}

/// What each `#[handlers]` says of its type. A second one is in conflict, and its name is what the
/// compiler says then.
pub trait CB0070PutAllHandlersOfATypeIntoOneImpl {}

/// An answer of [`Probe`] as a type.
#[derive(Debug)]
pub enum Answered<const FITS: bool> {}

/// Which of its derives a type `T` goes by, where the answer is whether it derives `Actor`. That it is asked about a
/// type of the asking package has the compiler sure that nobody else will ever say otherwise.
pub trait GoesBy<T: ?Sized> {
    /// [`IsActor`] or [`IsService`].
    type Kind;
}

impl<T: ?Sized> GoesBy<T> for Answered<true> {
    type Kind = IsActor;
}

impl<T: ?Sized> GoesBy<T> for Answered<false> {
    type Kind = IsService;
}

/// The answer that a field of type `T` has to give.
#[diagnostic::on_unimplemented(
    message = "CB0067: `{T}` stays on one thread, so it cannot be in a service or an actor",
    label = "stays on one thread",
    note = "turns run on any thread, and `&self` handlers beside each other: write `Arc` for `Rc`, `Mutex` \
            or an atomic for `RefCell` or `Cell`"
)]
pub trait MayMove<T: ?Sized> {}

impl<T: ?Sized> MayMove<T> for Answered<true> {}

/// Says that the answer for `T` is the right one. A function, because of one the compiler tells a bound once.
pub const fn asserted<T: ?Sized, A: MayMove<T>>() {}

/// What its definition says of `T`, whose fields it has looked at. Where one was refused the compiler has no
/// answer and so no type here, and says nothing of what is asked of it: the refusal is told once, under the field.
pub trait Checked<T> {
    /// `T`.
    type This;
}

impl<T> Checked<T> for Answered<true> {
    type This = T;
}
