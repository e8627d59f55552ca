//! What the code of `#[derive(Wire)]` calls: fields on their way in and out, and names.
//!
//! Each field goes through [`field`], whose bound is the only place that asks for `Wire`: a field
//! that cannot travel then gives one message, under its type. Nothing here knows a format or a
//! node. May depend on serde and the protocol's `Wire`.

use std::{fmt, marker::PhantomData};

use callboard_protocol::wire::{Fields, Wire};
use serde::{
    Serialize,
    de::{DeserializeSeed, Deserializer, Error, Visitor},
};

/// Returns what a field of type `T` can do.
#[inline]
#[must_use]
pub fn field<T: Wire>() -> impl Field<T> {
    Travels(PhantomData)
}

/// What a field of type `T` can do. Its methods promise serde's traits whatever `T` is, so that an
/// error about `T` is not repeated where they are used.
pub trait Field<T> {
    /// Returns the value as something that can be serialised.
    fn leaves(self, value: &T) -> impl Serialize;
    /// Returns what deserialises the value.
    fn arrives(self) -> impl for<'de> DeserializeSeed<'de, Value = T>;
    /// Adds the field to a description.
    fn describe(self, fields: &mut Fields<'_>, name: &str);
}

#[derive(Clone, Copy, Debug)]
struct Travels<T>(PhantomData<fn() -> T>);

impl<T: Wire> Field<T> for Travels<T> {
    #[inline]
    fn leaves(self, value: &T) -> impl Serialize {
        value
    }

    #[inline]
    fn arrives(self) -> impl for<'de> DeserializeSeed<'de, Value = T> {
        PhantomData::<T>
    }

    fn describe(self, fields: &mut Fields<'_>, name: &str) {
        fields.field::<T>(name);
    }
}

/// Deserialises the name of a field or a variant as its position in the list; a name that is not
/// in it is `usize::MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Names(pub &'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Names {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Names {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {:?}", self.0)
    }

    fn visit_u64<E: Error>(self, position: u64) -> Result<usize, E> {
        Ok(usize::try_from(position).unwrap_or(usize::MAX))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<usize, E> {
        Ok(self
            .0
            .iter()
            .position(|known| *known == name)
            .unwrap_or(usize::MAX))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<usize, E> {
        Ok(self
            .0
            .iter()
            .position(|known| known.as_bytes() == name)
            .unwrap_or(usize::MAX))
    }
}
