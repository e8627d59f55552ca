//! Whether a field of a definition may be where its turns run, as something that the derive asks of
//! each field: the compiler then says so under the field, and with what to do.
//!
//! [`Handlers`](super::Handlers) asks the same of the whole type, in the compiler's own words. Depends
//! on nothing.

use std::marker::PhantomData;

/// Asks whether `T` may be where turns run: on any thread, and on several at once for readers.
#[derive(Debug)]
pub struct Probe<T: ?Sized>(PhantomData<T>);

impl<T: ?Sized + Send + Sync> Probe<T> {
    /// The answer, where this `impl` applies.
    pub const FITS: bool = true;
}

/// What [`Probe`] answers where its own `impl` does not apply.
pub trait Otherwise {
    /// The answer.
    const FITS: bool = false;
}

impl<T: ?Sized> Otherwise for Probe<T> {}

/// An answer of [`Probe`] as a type.
#[derive(Debug)]
pub enum Answered<const FITS: bool> {}

/// The answer that a field of type `T` has to give.
#[diagnostic::on_unimplemented(
    message = "CB0067: `{T}` stays on one thread, so it cannot be in a service or an actor",
    label = "stays on one thread",
    note = "turns run on any thread, and `&self` handlers beside each other: write `Arc` for `Rc`, `Mutex` \
            or an atomic for `RefCell` or `Cell`"
)]
pub trait MayMove<T: ?Sized> {}

impl<T: ?Sized> MayMove<T> for Answered<true> {}

/// Says that the answer for `T` is the right one.
#[derive(Debug)]
pub struct Asserted<T: ?Sized, A: MayMove<T>>(PhantomData<T>, PhantomData<A>);
