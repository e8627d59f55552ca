//! The serde decoder of bodies: postcard's format, with a depth limit and a size budget.
//!
//! Postcard's own decoder reads as deep and as much as the bytes ask for: 60 kB of a recursive
//! type overflow a worker's stack, and small bytes become large values. This one reads the same
//! format (<https://postcard.jamesmunns.com/wire-format>), and stops both. It is generic over the
//! value, so a decoder is compiled for each type and a limit costs one compare.
//!
//! What is charged to the budget, in bytes of memory:
//!
//! - the decoded value itself, and everything behind a `Box` in it, by `size_of`;
//! - every element of a sequence and every key and value of a map, by `size_of`, at least 1; in a
//!   collection that does not ask for their number, a tree or a linked list, also what its nodes
//!   take, and as many as fit into one node at least;
//! - every text and byte string, by its length.
//!
//! The room for more elements that a growing collection has, at most as much again while it copies
//! twice that, and the allocator's own overhead are not counted. What is counted as a level
//! of depth: sequence, map, record, newtype, tuple, choice and option. `shape.rs` counts the same.
//!
//! It does not know types by name, and does not decide on limits. Depends on `reader.rs` and serde.

use std::cell::Cell;

use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::codec::{DecodeError, DecodeLimits};
use super::reader::Reader;

/// A decoder over one body.
pub(super) struct Limited<'de> {
    reader: Reader<'de>,
    /// The parts behind the one that is read, of a body in parts.
    behind: &'de mut [Vec<u8>],
    /// Levels that may still be entered.
    levels_left: u32,
    /// Bytes of memory that may still be charged.
    budget_left: u64,
    /// Bytes of the value being decoded that its surroundings were already charged for. A value
    /// larger than this lies behind a pointer, and is charged by itself.
    credit: usize,
    limits: DecodeLimits,
}

impl<'de> Limited<'de> {
    pub(super) fn new(bytes: &'de [u8], limits: &DecodeLimits) -> Self {
        Self {
            reader: Reader::new(bytes),
            behind: &mut [],
            levels_left: limits.depth,
            budget_left: limits.budget_bytes,
            credit: 0,
            limits: *limits,
        }
    }

    /// Makes a decoder over a body in parts. Every second one is a text or a byte string.
    pub(super) fn of_parts(parts: &'de mut [Vec<u8>], limits: &DecodeLimits) -> Self {
        let mut decoder = Self::new(&[], limits);
        decoder.behind = parts;
        decoder.go_on();
        decoder
    }

    /// Returns the number of bytes behind the value.
    pub(super) fn remaining(&self) -> usize {
        self.reader.remaining() + self.behind.iter().map(Vec::len).sum::<usize>()
    }

    /// Goes on with the next part.
    #[cold]
    fn go_on(&mut self) {
        if let Some(part) = self.next_part() {
            self.reader = Reader::new(part);
        }
    }

    fn next_part(&mut self) -> Option<&'de mut Vec<u8>> {
        let (part, behind) = std::mem::take(&mut self.behind).split_first_mut()?;
        self.behind = behind;
        Some(part)
    }

    /// Reads a text or a byte string.
    #[inline]
    fn byte_string(&mut self) -> Result<ByteString<'de>, DecodeError> {
        let len = self.reader.length()?;
        if let Some(part) = self.long(len) {
            self.charge(len)?;
            return Ok(ByteString::Part(part));
        }
        let bytes = self.reader.slice(len)?;
        self.charge(len)?;
        Ok(ByteString::Within(bytes))
    }

    /// Takes the next part if it is a text or a byte string of that length.
    #[inline]
    fn long(&mut self, len: usize) -> Option<&'de mut Vec<u8>> {
        let is_next = self.behind.first().is_some_and(|part| part.len() == len);
        if !is_next || self.reader.remaining() > 0 {
            return None;
        }
        let part = self.next_part();
        self.go_on();
        part
    }

    /// Reads a byte. A byte string may be read as a sequence of bytes, so that it may be where one
    /// part ends and the next begins.
    #[inline]
    fn byte(&mut self) -> Result<u8, DecodeError> {
        if self.reader.remaining() == 0 {
            self.go_on();
        }
        let byte = self.reader.byte()?;
        if self.reader.remaining() == 0 && self.behind.len() % 2 == 1 {
            self.go_on();
        }
        Ok(byte)
    }

    #[inline]
    fn charge(&mut self, bytes: usize) -> Result<(), DecodeError> {
        match self.budget_left.checked_sub(bytes as u64) {
            Some(left) => {
                self.budget_left = left;
                Ok(())
            }
            None => Err(DecodeError::OverBudget {
                budget_bytes: self.limits.budget_bytes,
            }),
        }
    }

    /// Charges a value of this type unless its surroundings were charged for it.
    #[inline]
    fn charge_value<T>(&mut self) -> Result<(), DecodeError> {
        if size_of::<T>() > self.credit {
            self.charge(size_of::<T>())?;
            self.credit = size_of::<T>();
        }
        Ok(())
    }

    /// Runs `inner` one level deeper. On an error the level is not given back: the decoder is
    /// done with.
    #[inline]
    fn deeper<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.levels_left == 0 {
            return Err(DecodeError::TooDeep {
                depth: self.limits.depth,
            });
        }
        self.levels_left -= 1;
        let value = inner(self)?;
        self.levels_left += 1;
        Ok(value)
    }

    #[inline]
    fn fields<V: Visitor<'de>>(&mut self, len: usize, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_seq(Fields {
            decoder: self,
            left: len,
        })
    }

    /// Refuses a method that a format without type information cannot have.
    fn unsupported<T>(what: &'static str) -> Result<T, DecodeError> {
        Err(DecodeError::Unsupported { what })
    }
}

/// Where a text or a byte string lies.
enum ByteString<'de> {
    /// Among other values.
    Within(&'de [u8]),
    /// In a part of its own, which can be taken over.
    Part(&'de mut Vec<u8>),
}

impl<'de> ByteString<'de> {
    fn borrowed(self) -> &'de [u8] {
        match self {
            Self::Within(bytes) => bytes,
            Self::Part(part) => part,
        }
    }
}

#[inline]
fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    str::from_utf8(bytes).map_err(|_| DecodeError::BadText)
}

/// Decodes a number by one call of the reader.
macro_rules! number {
    ($($method:ident, $visit:ident, $self:ident => $value:expr;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>($self, visitor: V) -> Result<V::Value, DecodeError> {
            visitor.$visit($value)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for &mut Limited<'de> {
    type Error = DecodeError;

    number! {
        deserialize_u8, visit_u8, self => self.byte()?;
        deserialize_u16, visit_u16, self => self.reader.varint_u16()?;
        deserialize_u32, visit_u32, self => self.reader.varint_u32()?;
        deserialize_u64, visit_u64, self => self.reader.varint_u64()?;
        deserialize_u128, visit_u128, self => self.reader.varint_u128()?;
        deserialize_i8, visit_i8, self => i8::from_le_bytes([self.byte()?]);
        deserialize_i16, visit_i16, self => {
            let zigzag = self.reader.varint_u16()?;
            (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
        };
        deserialize_i32, visit_i32, self => {
            let zigzag = self.reader.varint_u32()?;
            (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
        };
        deserialize_i64, visit_i64, self => {
            let zigzag = self.reader.varint_u64()?;
            (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
        };
        deserialize_i128, visit_i128, self => {
            let zigzag = self.reader.varint_u128()?;
            (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
        };
        deserialize_f32, visit_f32, self => f32::from_le_bytes(self.reader.array()?);
        deserialize_f64, visit_f64, self => f64::from_le_bytes(self.reader.array()?);
        deserialize_bool, visit_bool, self => match self.reader.byte()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::BadBool),
        };
        deserialize_char, visit_char, self => {
            let bytes = self.reader.bytes()?;
            let mut chars = str::from_utf8(bytes).map_err(|_| DecodeError::BadText)?.chars();
            match (chars.next(), chars.next()) {
                (Some(char), None) => char,
                _ => return Err(DecodeError::BadChar),
            }
        };
        deserialize_str, visit_borrowed_str, self => text(self.byte_string()?.borrowed())?;
        deserialize_bytes, visit_borrowed_bytes, self => self.byte_string()?.borrowed();
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.byte_string()? {
            ByteString::Within(bytes) => visitor.visit_borrowed_str(text(bytes)?),
            ByteString::Part(part) => {
                let text = String::from_utf8(std::mem::take(part));
                visitor.visit_string(text.map_err(|_| DecodeError::BadText)?)
            }
        }
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.byte_string()? {
            ByteString::Within(bytes) => visitor.visit_borrowed_bytes(bytes),
            ByteString::Part(part) => visitor.visit_byte_buf(std::mem::take(part)),
        }
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.charge_value::<V::Value>()?;
        match self.reader.byte()? {
            0 => visitor.visit_none(),
            1 => self.deeper(|decoder| visitor.visit_some(decoder)),
            _ => Err(DecodeError::BadOption),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.charge_value::<V::Value>()?;
        self.deeper(|decoder| visitor.visit_newtype_struct(decoder))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.charge_value::<V::Value>()?;
        let len = self.reader.length()?;
        self.deeper(|decoder| visitor.visit_seq(Elements::new(decoder, len)))
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.charge_value::<V::Value>()?;
        let len = self.reader.length()?;
        self.deeper(|decoder| visitor.visit_map(Elements::new(decoder, len)))
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.charge_value::<V::Value>()?;
        self.deeper(|decoder| decoder.fields(len, visitor))
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.charge_value::<V::Value>()?;
        self.deeper(|decoder| visitor.visit_enum(decoder))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, DecodeError> {
        Limited::unsupported("a type that asks the format what comes next")
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, DecodeError> {
        Limited::unsupported("a type whose fields are found by name")
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(
        self,
        _visitor: V,
    ) -> Result<V::Value, DecodeError> {
        Limited::unsupported("a type that skips a value")
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The fields of a record or a tuple. They are part of the value that was charged before.
struct Fields<'a, 'de> {
    decoder: &'a mut Limited<'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.decoder.credit = size_of::<T::Value>();
        seed.deserialize(&mut *self.decoder).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The elements of a sequence, or the entries of a map.
///
/// All are charged with the first one, since only then their type is known. A length that is over
/// the budget is so refused before the elements are read.
struct Elements<'a, 'de> {
    decoder: &'a mut Limited<'de>,
    /// Elements, or keys, that were not read.
    left: usize,
    charged: bool,
    values_charged: bool,
    /// Whether the collection asked how many come: it has one buffer for all, and no nodes.
    asked: Cell<bool>,
}

impl<'a, 'de> Elements<'a, 'de> {
    #[inline]
    fn new(decoder: &'a mut Limited<'de>, len: usize) -> Self {
        Self {
            decoder,
            left: len,
            charged: false,
            values_charged: false,
            asked: Cell::new(false),
        }
    }

    #[inline]
    fn element<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, DecodeError> {
        self.decoder.credit = size_of::<T::Value>();
        seed.deserialize(&mut *self.decoder)
    }

    #[inline]
    fn charge_all<T>(&mut self, count: usize) -> Result<(), DecodeError> {
        // An element without a size still takes time: 10⁸ of them fit into five bytes.
        let size = size_of::<T>().max(1);
        let bytes = if self.asked.get() {
            count.saturating_mul(size)
        } else {
            let nodes = count.saturating_mul(NODE_BYTES);
            count
                .max(NODE_ELEMENTS)
                .saturating_mul(size)
                .saturating_add(nodes)
        };
        self.decoder.charge(bytes)
    }

    /// Bounds what a collection reserves before its elements were seen: an element takes a byte,
    /// and nested sequences that all claim to be long must not each reserve much.
    #[inline]
    fn hint(&self) -> usize {
        self.asked.set(true);
        self.left
            .min(self.decoder.remaining())
            .min(RESERVED_ELEMENTS_MAX)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        if !self.charged {
            self.charge_all::<T::Value>(self.left)?;
            self.charged = true;
        }
        self.left -= 1;
        self.element(seed).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        SeqAccess::next_element_seed(self, seed)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        if !self.values_charged {
            // This one's key was read before.
            self.charge_all::<V::Value>(self.left + 1)?;
            self.values_charged = true;
        }
        self.element(seed)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.hint())
    }
}

impl<'de> EnumAccess<'de> for &mut Limited<'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let index = self.reader.varint_u32()?;
        let deserializer: de::value::U32Deserializer<DecodeError> = index.into_deserializer();
        Ok((seed.deserialize(deserializer)?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Limited<'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<(), DecodeError> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        self.credit = size_of::<T::Value>();
        seed.deserialize(self)
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.fields(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        self.fields(fields.len(), visitor)
    }
}

/// The most elements a collection reserves room for before it has seen them.
const RESERVED_ELEMENTS_MAX: usize = 1024;

/// The elements that a node of std's B-tree has room for, however few it holds: 300 short bytes of
/// single-element sets with long elements would otherwise take eleven times what they are charged.
const NODE_ELEMENTS: usize = 11;

/// The pointers of a node for each element: two of a linked list; of a B-tree, whose nodes are at
/// least about half full, no more.
const NODE_BYTES: usize = 16;
