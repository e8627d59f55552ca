//! What to say to who forgets that a call is a value until it is awaited, and a stream until it is read.
//!
//! The methods of `Result` would only be "not found" on a call. They are found here, and cannot be
//! called: their bound holds for nothing, and says what is missing. They give what they would give
//! behind an `.await`, so that one mistake is one message. Calls and streams are iterators under such
//! a bound, for who puts them into a `for` loop, and calls can be printed; about their own type the
//! compiler would say that it is no iterator, so the bound is on another one. Knows nothing of how calls
//! work.
//!
//! The methods take `&self`. So one that takes `self`, such as those of `futures-util` with the same names, is found
//! before them. What they hide is a method with `&self` of one of their names in a trait that a user has for calls:
//! `call.map(…)` is CB0066 then, and `Trait::map(&call, …)` is called. Such a trait can do little, since whatever
//! runs a call uses it up; that is why the names are taken all the same.
//!
//! They are written out one by one: the compiler shows the lines of a bound to who misses it.

use std::{fmt, future::Ready, ops::Index, task::Poll};

use callboard_protocol::code::CallError;

use super::{
    client::Call,
    interface::{Fallible, Method, MethodSignature},
    stream::{Inbound, Streaming},
};

/// What has a result without being awaited. Nothing does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0066: a call has no result before it is awaited",
    label = "a call, which is not awaited",
    note = "write `.await` between the call and this, as in `greeter.say_hello(\"Ada\").await.unwrap()`"
)]
pub trait Awaited: Sized {
    /// Cannot be called.
    fn result<T>(&self) -> T;
}

/// What gives its items without being awaited. Nothing does.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "CB0075: the items of a stream are awaited one by one, and a `for` loop does not wait",
    label = "a stream of items that are to come",
    note = "write `while let Some(item) = items.next().await {{ … }}`, where each `item` is a `Result`"
)]
pub trait AtHand: Sized {
    /// Cannot be called.
    fn item<T>(&self) -> Option<T>;
}

/// The success of a method's result.
type Success<M> = <<M as MethodSignature>::Output as Fallible>::Ok;

/// The failure of a method's result.
type Failure<M> = <<M as MethodSignature>::Output as Fallible>::Err;

impl<M: Method<Output: Fallible>> Call<M> {
    /// Cannot be called.
    #[doc(hidden)]
    pub fn unwrap(&self) -> Success<M>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn expect(&self, _: &str) -> Success<M>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn unwrap_or(&self, _: Success<M>) -> Success<M>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn unwrap_or_default(&self) -> Success<M>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn unwrap_or_else<F: FnOnce(Failure<M>) -> Success<M>>(&self, _: F) -> Success<M>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn unwrap_err(&self) -> Failure<M>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn expect_err(&self, _: &str) -> Failure<M>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn is_ok(&self) -> bool
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn is_err(&self) -> bool
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn ok(&self) -> Option<Success<M>>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn err(&self) -> Option<Failure<M>>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn map<U, F: FnOnce(Success<M>) -> U>(&self, _: F) -> Result<U, Failure<M>>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn map_err<E, F: FnOnce(Failure<M>) -> E>(&self, _: F) -> Result<Success<M>, E>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn and_then<U, F: FnOnce(Success<M>) -> Result<U, Failure<M>>>(
        &self,
        _: F,
    ) -> Result<U, Failure<M>>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn or_else<E, F: FnOnce(Failure<M>) -> Result<Success<M>, E>>(
        &self,
        _: F,
    ) -> Result<Success<M>, E>
    where
        Self: Awaited,
    {
        self.result()
    }

    /// Cannot be called.
    #[doc(hidden)]
    pub fn next(&self) -> Ready<Option<Result<M::Reply, CallError>>>
    where
        Self: Awaited,
    {
        self.result()
    }
}

#[doc(hidden)]
impl<M: Method<Output: Fallible>> fmt::Display for Call<M>
where
    Poll<M>: Awaited,
{
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Poll::<M>::Pending.result()
    }
}

#[doc(hidden)]
impl<M: Method<Output: Fallible<Ok: Index<I>>>, I> Index<I> for Call<M>
where
    Poll<M>: Awaited,
{
    type Output = <Success<M> as Index<I>>::Output;

    fn index(&self, _: I) -> &Self::Output {
        Poll::<M>::Pending.result()
    }
}

#[doc(hidden)]
impl<M: Method<Output: Fallible>> Iterator for Call<M>
where
    Poll<M>: Awaited,
{
    type Item = Success<M>;

    fn next(&mut self) -> Option<Self::Item> {
        Poll::<M>::Pending.result()
    }
}

#[doc(hidden)]
impl<T> Iterator for Streaming<T>
where
    Poll<T>: AtHand,
{
    type Item = Result<T, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        Poll::<T>::Pending.item()
    }
}

#[doc(hidden)]
impl<T> Iterator for Inbound<T>
where
    Poll<T>: AtHand,
{
    type Item = Result<T, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        Poll::<T>::Pending.item()
    }
}
