//! What to say to who forgets that a call is a value until it is awaited.
//!
//! `unwrap` and `expect` on a call would only be "not found". They are found here, and cannot be
//! called: their bound holds for nothing, and says what is missing. Knows nothing of how calls work.

use super::{client::Call, interface::Method};

/// What has a result without being awaited. Nothing does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0066: a call has no result before it is awaited",
    label = "a call, which is not awaited",
    note = "write `.await` between the call and this, as in `greeter.say_hello(\"Ada\").await.unwrap()`"
)]
pub trait Awaited: Sized {
    /// Cannot be called.
    fn result<T>(self) -> T;
}

impl<M: Method> Call<M> {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn unwrap<T>(self) -> T
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn expect<T>(self, _: &str) -> T
    where
        Self: Awaited,
    {
        self.result()
    }
}
