//! `Wire` for the types of the standard library and of the usual crates (by feature).
//!
//! Missing on purpose: `PathBuf` and `OsString` (their meaning differs between systems), `Rc` and
//! `Arc` (sharing is lost on the wire), `Instant` (it means nothing on another node).
#![expect(
    clippy::disallowed_types,
    reason = "maps are described here, not iterated"
)]

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{
    NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128, NonZeroIsize, NonZeroU8,
    NonZeroU16, NonZeroU32, NonZeroU64, NonZeroU128, NonZeroUsize, Wrapping,
};
use std::ops::{Range, RangeInclusive};
use std::time::{Duration, SystemTime};

use super::lend::Lender;
#[cfg(feature = "bytes")]
use super::lend::{LONG_BYTES_MIN, Shared};
use super::shape::{Shape, Wire};
use crate::code::{CallError, Code};
use crate::id::{
    ActorAddr, ActorId, CallId, ClusterName, Incarnation, InterfaceId, MethodId, NodeId, NodeName,
};

macro_rules! primitive {
    ($($ty:ty = $name:literal),* $(,)?) => {$(
        impl Wire for $ty {
            fn describe(shape: &mut Shape) {
                shape.primitive($name);
            }
        }
    )*};
}

primitive! {
    u8 = "u8", u16 = "u16", u32 = "u32", u64 = "u64", u128 = "u128", usize = "usize",
    i8 = "i8", i16 = "i16", i32 = "i32", i64 = "i64", i128 = "i128", isize = "isize",
    f32 = "f32", f64 = "f64", bool = "bool", char = "char", () = "unit",
    String = "string", Box<str> = "string", Cow<'static, str> = "string",
    NonZeroU8 = "nonzero u8", NonZeroU16 = "nonzero u16", NonZeroU32 = "nonzero u32",
    NonZeroU64 = "nonzero u64", NonZeroU128 = "nonzero u128", NonZeroUsize = "nonzero usize",
    NonZeroI8 = "nonzero i8", NonZeroI16 = "nonzero i16", NonZeroI32 = "nonzero i32",
    NonZeroI64 = "nonzero i64", NonZeroI128 = "nonzero i128", NonZeroIsize = "nonzero isize",
    Code = "callboard.Code",
}

/// Foreign types and our own newtypes: a versioned name and the levels that they nest.
macro_rules! opaque {
    ($($ty:ty = $name:literal $depth:literal),* $(,)?) => {$(
        impl Wire for $ty {
            fn describe(shape: &mut Shape) {
                shape.opaque_with_depth($name, $depth);
            }
        }
    )*};
}

opaque! {
    Duration = "std.Duration/1" 1,
    SystemTime = "std.SystemTime/1" 1,
    Ipv4Addr = "std.Ipv4Addr/1" 1,
    Ipv6Addr = "std.Ipv6Addr/1" 1,
    IpAddr = "std.IpAddr/1" 2,
    SocketAddrV4 = "std.SocketAddrV4/1" 2,
    SocketAddrV6 = "std.SocketAddrV6/1" 2,
    SocketAddr = "std.SocketAddr/1" 3,
    NodeId = "callboard.NodeId/1" 1,
    Incarnation = "callboard.Incarnation/1" 1,
    ActorId = "callboard.ActorId/1" 1,
    ActorAddr = "callboard.ActorAddr/1" 2,
    CallId = "callboard.CallId/1" 1,
    InterfaceId = "callboard.InterfaceId/1" 1,
    MethodId = "callboard.MethodId/1" 1,
    ClusterName = "callboard.ClusterName/1" 0,
    NodeName = "callboard.NodeName/1" 0,
    CallError = "callboard.CallError/1" 1,
}

/// Types that are encoded exactly as what they hold.
macro_rules! transparent {
    ($($ty:ident),* $(,)?) => {$(
        impl<T: Wire> Wire for $ty<T> {
            fn describe(shape: &mut Shape) {
                T::describe(shape);
            }
        }
    )*};
}

transparent!(Reverse, Wrapping);

impl<T: Wire> Wire for Box<T> {
    fn describe(shape: &mut Shape) {
        T::describe(shape);
    }

    const LENDS: bool = T::LENDS;

    fn __give_long(&self, lender: &mut dyn Lender) {
        (**self).__give_long(lender);
    }
}

impl<T: Send + 'static> Wire for PhantomData<T> {
    fn describe(shape: &mut Shape) {
        shape.primitive("unit");
    }
}

macro_rules! sequence {
    ($($ty:ident<T $(: $bound:ident $(+ $more:ident)*)?> = $name:literal),* $(,)?) => {$(
        impl<T: Wire $(+ $bound $(+ $more)*)?> Wire for $ty<T> {
            fn describe(shape: &mut Shape) {
                shape.sequence::<T>($name);
            }
        }
    )*};
}

sequence! {
    Vec<T> = "seq",
    VecDeque<T> = "seq",
    LinkedList<T> = "seq",
    BTreeSet<T: Ord> = "set",
    BinaryHeap<T: Ord> = "heap",
}

impl<T: Wire> Wire for Box<[T]> {
    fn describe(shape: &mut Shape) {
        shape.sequence::<T>("seq");
    }
}

impl<T: Wire + Eq + Hash, S: BuildHasher + Default + Send + 'static> Wire for HashSet<T, S> {
    fn describe(shape: &mut Shape) {
        shape.sequence::<T>("set");
    }
}

impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn describe(shape: &mut Shape) {
        shape.map::<K, V>();
    }
}

impl<K, V, S> Wire for HashMap<K, V, S>
where
    K: Wire + Eq + Hash,
    V: Wire,
    S: BuildHasher + Default + Send + 'static,
{
    fn describe(shape: &mut Shape) {
        shape.map::<K, V>();
    }
}

impl<T: Wire> Wire for Option<T> {
    fn describe(shape: &mut Shape) {
        shape.optional::<T>();
    }

    const LENDS: bool = T::LENDS;

    fn __give_long(&self, lender: &mut dyn Lender) {
        if let Some(value) = self {
            value.__give_long(lender);
        }
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn describe(shape: &mut Shape) {
        shape.choice::<Self>("Result", None, |variants| {
            variants.variant("Ok", |fields| fields.field::<T>("0"));
            variants.variant("Err", |fields| fields.field::<E>("0"));
        });
    }

    const LENDS: bool = T::LENDS || E::LENDS;

    fn __give_long(&self, lender: &mut dyn Lender) {
        match self {
            Ok(value) => value.__give_long(lender),
            Err(error) => error.__give_long(lender),
        }
    }
}

impl<T: Wire> Wire for Range<T> {
    fn describe(shape: &mut Shape) {
        shape.record::<Self>("Range", None, |fields| {
            fields.field::<T>("start");
            fields.field::<T>("end");
        });
    }
}

impl<T: Wire> Wire for RangeInclusive<T> {
    fn describe(shape: &mut Shape) {
        shape.record::<Self>("RangeInclusive", None, |fields| {
            fields.field::<T>("start");
            fields.field::<T>("end");
        });
    }
}

/// serde has no implementation for arrays of any length, only for these.
macro_rules! array {
    ($($len:literal)*) => {$(
        impl<T: Wire> Wire for [T; $len] {
            fn describe(shape: &mut Shape) {
                shape.array::<T>($len);
            }
        }
    )*};
}

array!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);

macro_rules! tuple {
    ($($($element:ident)*;)*) => {$(
        impl<$($element: Wire),*> Wire for ($($element,)*) {
            fn describe(shape: &mut Shape) {
                shape.tuple(|elements| {
                    $(elements.element::<$element>();)*
                });
            }

            const LENDS: bool = $($element::LENDS ||)* false;

            fn __give_long(&self, lender: &mut dyn Lender) {
                #[expect(non_snake_case, reason = "the elements are named after their types")]
                let ($($element,)*) = self;
                $($element.__give_long(lender);)*
            }
        }
    )*};
}

tuple! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
    A B C D E F G H I J;
    A B C D E F G H I J K;
    A B C D E F G H I J K L;
}

#[cfg(feature = "bytes")]
primitive! {
    bytes::BytesMut = "bytes",
}

#[cfg(feature = "bytes")]
impl Wire for bytes::Bytes {
    fn describe(shape: &mut Shape) {
        shape.primitive("bytes");
    }

    const LENDS: bool = true;

    fn __give_long(&self, lender: &mut dyn Lender) {
        if self.len() >= LONG_BYTES_MIN {
            lender.take(Shared::new(self.clone()));
        }
    }
}

#[cfg(feature = "uuid")]
primitive! {
    uuid::Uuid = "uuid",
}

#[cfg(feature = "time")]
opaque! {
    time::Date = "time.Date/1" 1,
    time::Time = "time.Time/1" 1,
    time::PrimitiveDateTime = "time.PrimitiveDateTime/1" 1,
    time::OffsetDateTime = "time.OffsetDateTime/1" 1,
    time::UtcOffset = "time.UtcOffset/1" 1,
    time::Duration = "time.Duration/1" 1,
}

#[cfg(test)]
mod tests;
