//! Keys from text: what somebody types for the key of an actor.
//!
//! A key type says nothing of text; its `Deserialize` asks for what it needs, and text can give the
//! plain kinds: strings, numbers, `bool`, `char`, variants without fields, newtypes of these, and types
//! that read themselves from a string, such as addresses and UUIDs. Depends on `codec`.

use std::{fmt, str::FromStr};

use callboard_protocol::wire::Wire;
use serde::{
    Deserializer,
    de::{IntoDeserializer, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

use super::codec::key_bytes;

/// Returns the encoding of the key that a text stands for.
///
/// # Errors
/// What the key should be, in words.
pub(crate) fn key_of_text<K: Wire>(text: &str) -> Result<Vec<u8>, String> {
    let key = K::deserialize(Text(text)).map_err(|error| error.0)?;
    key_bytes(&key).ok_or_else(|| "it is longer than a key may be".to_owned())
}

/// Reads one value from a text.
struct Text<'a>(&'a str);

/// Why a text is no such value.
#[derive(Debug)]
struct Unreadable(String);

impl Text<'_> {
    fn parse<T: FromStr>(&self, what: &str) -> Result<T, Unreadable> {
        let parsed = self.0.parse();
        parsed.map_err(|_| Unreadable(format!("`{}` is not {what}", self.0)))
    }

    fn no(kind: &str) -> Unreadable {
        Unreadable(format!(
            "the key is {kind}, which cannot be written as text"
        ))
    }
}

macro_rules! parsed {
    ($($method:ident, $visit:ident, $what:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
            visitor.$visit(self.parse($what)?)
        }
    )*};
}

macro_rules! refused {
    ($($method:ident($($arg:ident: $ty:ty),*), $kind:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $ty,)* _: V) -> Result<V::Value, Unreadable> {
            Err(Self::no($kind))
        }
    )*};
}

impl<'de> Deserializer<'de> for Text<'_> {
    type Error = Unreadable;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unreadable> {
        visitor.visit_str(self.0)
    }

    parsed! {
        deserialize_bool, visit_bool, "`true` or `false`";
        deserialize_char, visit_char, "one character";
        deserialize_u8, visit_u8, "a whole number from 0 to 255";
        deserialize_u16, visit_u16, "a whole number from 0 to 65535";
        deserialize_u32, visit_u32, "a whole number of 32 bits";
        deserialize_u64, visit_u64, "a whole number of 64 bits";
        deserialize_u128, visit_u128, "a whole number of 128 bits";
        deserialize_i8, visit_i8, "a whole number from -128 to 127";
        deserialize_i16, visit_i16, "a whole number from -32768 to 32767";
        deserialize_i32, visit_i32, "a whole number of 32 bits with a sign";
        deserialize_i64, visit_i64, "a whole number of 64 bits with a sign";
        deserialize_i128, visit_i128, "a whole number of 128 bits with a sign";
    }

    refused! {
        deserialize_f32(), "a fraction";
        deserialize_f64(), "a fraction";
        deserialize_bytes(), "bytes";
        deserialize_byte_buf(), "bytes";
        deserialize_option(), "optional";
        deserialize_unit(), "empty";
        deserialize_unit_struct(_name: &'static str), "empty";
        deserialize_seq(), "a list";
        deserialize_tuple(_len: usize), "several values";
        deserialize_tuple_struct(_name: &'static str, _len: usize), "several values";
        deserialize_map(), "a map";
        deserialize_struct(_name: &'static str, _fields: &'static [&'static str]), "several values";
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unreadable> {
        if !variants.contains(&self.0) {
            let known = variants.join(", ");
            return Err(Unreadable(format!("`{}` is none of {known}", self.0)));
        }
        let variant: StrDeserializer<'_, Unreadable> = self.0.into_deserializer();
        visitor.visit_enum(variant).map_err(|_| {
            let text = format!("`{}` has fields, which cannot be written as text", self.0);
            Unreadable(text)
        })
    }

    forward_to_deserialize_any! { str string identifier ignored_any }
}

impl serde::de::Error for Unreadable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use callboard_macros::Wire;

    use super::*;

    #[derive(Debug, PartialEq, Wire)]
    struct Order(u64);

    #[derive(Debug, PartialEq, Wire)]
    enum Shelf {
        Upper,
        Numbered(u32),
    }

    #[derive(Debug, PartialEq, Wire)]
    struct Pair {
        left: u8,
        right: u8,
    }

    fn same<K: Wire>(text: &str, key: &K) {
        assert_eq!(key_of_text::<K>(text).ok(), key_bytes(key), "{text}");
    }

    fn refused<K: Wire>(text: &str) -> String {
        key_of_text::<K>(text).expect_err(text)
    }

    #[test]
    fn plain_keys_are_read_as_a_call_would_encode_them() {
        same("alice", &"alice".to_owned());
        same("", &String::new());
        same("42", &42u64);
        same("-42", &-42i32);
        same("340282366920938463463374607431768211455", &u128::MAX);
        same("true", &true);
        same("ß", &'ß');
        same("7", &Order(7));
        same("Upper", &Shelf::Upper);
        same("10.0.0.1", &IpAddr::from([10, 0, 0, 1]));
    }

    #[test]
    fn what_is_no_such_key_is_refused_in_words() {
        assert_eq!(
            refused::<u64>("4x"),
            "`4x` is not a whole number of 64 bits"
        );
        assert_eq!(
            refused::<u8>("256"),
            "`256` is not a whole number from 0 to 255"
        );
        assert_eq!(refused::<bool>("yes"), "`yes` is not `true` or `false`");
        assert_eq!(
            refused::<Shelf>("Lower"),
            "`Lower` is none of Upper, Numbered"
        );
        let fields = "`Numbered` has fields, which cannot be written as text";
        assert_eq!(refused::<Shelf>("Numbered"), fields);
        let several = "the key is several values, which cannot be written as text";
        assert_eq!(refused::<Pair>("1,2"), several);
        assert_eq!(refused::<(u8, u8)>("1,2"), several);
        let bytes = "the key is a list, which cannot be written as text";
        assert_eq!(refused::<Vec<u8>>("ff"), bytes);
        refused::<IpAddr>("10.0.0");
        let long = "x".repeat(1 << 20);
        assert_eq!(refused::<String>(&long), "it is longer than a key may be");
    }
}
