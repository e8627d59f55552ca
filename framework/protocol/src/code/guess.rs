//! Functions that errors do not have, and that are written all the same: by the habit of other libraries. They are found
//! here, and cannot be called: their bound holds for nothing, and says what to write. Nothing depends on it.

use super::{CallError, HandlerError};

/// What says by the functions below what it is. Nothing does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0077: `{Self}` has no function of this name",
    label = "is told by its code",
    note = "compare its code: `error.code() == Code::DeadlineExceeded` is a deadline that has passed; of a `HandlerError` \
            it is `error.code() == Some(Code::DeadlineExceeded)`",
    note = "a `CallError` says besides whether the handler may have run, `error.ran()`, whether to try again, \
            `error.retry()`, and who is at fault, `error.fault()`"
)]
pub trait KnownByGuess: Sized {
    /// Cannot be called.
    fn guessed<T>() -> T;
}

impl CallError {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn is_timeout(&self) -> bool
    where
        for<'any> Self: KnownByGuess,
    {
        Self::guessed()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn kind<T>(&self) -> T
    where
        for<'any> Self: KnownByGuess,
    {
        Self::guessed()
    }
}

impl<E> HandlerError<E> {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn is_timeout(&self) -> bool
    where
        for<'any> Self: KnownByGuess,
    {
        Self::guessed()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn kind<T>(&self) -> T
    where
        for<'any> Self: KnownByGuess,
    {
        Self::guessed()
    }
}
