//! The encoding of what the control group keeps: records of tagged fields.
//!
//! A record is a list of fields, each a tag, a length and that many bytes; a field may hold a
//! record. A later version reads an older record, because a field that is missing has a default or
//! is refused by name. An older version that meets an unknown field refuses the record, unless it
//! only looks at it: replicas that skipped what they do not know would drift apart. Bytes are
//! hostile: nothing is allocated by a length that was not checked, and records nest to a depth that
//! the types fix. Depends on the reader of `wire`.

use crate::wire::reader::{ReadError, Reader};

/// Why the bytes of a record were refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// They end inside a field.
    #[error("the record ends inside a field")]
    Truncated,
    /// A number is longer than its type.
    #[error("a number is longer than its type")]
    NumberTooLong,
    /// They were written by a later version, in an encoding that this one does not know.
    #[error("encoding version {found}: this version reads {oldest} to {newest}")]
    UnknownVersion {
        /// The version of the bytes.
        found: u64,
        /// The oldest version that is read.
        oldest: u64,
        /// The newest version that is read.
        newest: u64,
    },
    /// It is of a kind that this version does not know.
    #[error("kind {kind} of a {record}: a later version has written it")]
    UnknownKind {
        /// What kind of record it is in.
        record: &'static str,
        /// The kind.
        kind: u64,
    },
    /// It has a field that this version does not know.
    #[error("field {tag} of a {record}: a later version has written it")]
    UnknownField {
        /// What kind of record it is in.
        record: &'static str,
        /// The field.
        tag: u64,
    },
    /// A field is missing that every version has written.
    #[error("a {record} without its {field}")]
    Missing {
        /// What kind of record it is.
        record: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field has a value that it cannot have.
    #[error("a {record} whose {field} is out of range")]
    OutOfRange {
        /// What kind of record it is.
        record: &'static str,
        /// The field.
        field: &'static str,
    },
    /// The bytes are not those that were written.
    #[error("the checksum does not fit: the bytes are damaged")]
    Damaged,
}

impl From<ReadError> for RecordError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::UnexpectedEnd => Self::Truncated,
            ReadError::NumberTooLong => Self::NumberTooLong,
        }
    }
}

/// Writes a record.
#[derive(Default, Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
}

impl Writer {
    pub(super) fn number(&mut self, tag: u64, value: u64) {
        let mut bytes = [0; VARINT_BYTES_MAX];
        let len = varint_into(&mut bytes, value);
        self.bytes(tag, &bytes[..len]);
    }

    pub(super) fn bytes(&mut self, tag: u64, bytes: &[u8]) {
        push_varint(&mut self.out, tag);
        push_varint(&mut self.out, bytes.len() as u64);
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn text(&mut self, tag: u64, text: &str) {
        self.bytes(tag, text.as_bytes());
    }

    pub(super) fn record(&mut self, tag: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(tag, &inner.out);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }
}

/// Reads a record, field by field.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    reader: Reader<'a>,
    record: &'static str,
    /// Whether fields of later versions are skipped.
    lenient: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn strict(record: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(bytes),
            record,
            lenient: false,
        }
    }

    pub(super) fn lenient(record: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            lenient: true,
            ..Self::strict(record, bytes)
        }
    }

    /// Reads the record that a field of this one holds, as strictly as this one.
    pub(super) fn within(&self, record: &'static str, field: Field<'a>) -> Self {
        Self {
            reader: Reader::new(field.bytes),
            record,
            lenient: self.lenient,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, RecordError> {
        if self.reader.remaining() == 0 {
            return Ok(None);
        }
        let tag = self.reader.varint_u64()?;
        let bytes = self.reader.bytes()?;
        let record = self.record;
        Ok(Some(Field { tag, bytes, record }))
    }

    /// What to do about a field that this version does not know.
    pub(super) fn unknown(&self, field: Field<'_>) -> Result<(), RecordError> {
        if self.lenient {
            return Ok(());
        }
        let (record, tag) = (self.record, field.tag);
        Err(RecordError::UnknownField { record, tag })
    }

    /// Returns the value of a field that must be there.
    pub(super) fn require<T>(
        &self,
        value: Option<T>,
        field: &'static str,
    ) -> Result<T, RecordError> {
        let record = self.record;
        value.ok_or(RecordError::Missing { record, field })
    }
}

/// A field of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'a> {
    pub(super) tag: u64,
    pub(super) bytes: &'a [u8],
    record: &'static str,
}

impl<'a> Field<'a> {
    pub(super) fn number(self) -> Result<u64, RecordError> {
        let mut reader = Reader::new(self.bytes);
        let number = reader.varint_u64()?;
        if reader.remaining() > 0 {
            return Err(RecordError::NumberTooLong);
        }
        Ok(number)
    }

    pub(super) fn number_u32(self, field: &'static str) -> Result<u32, RecordError> {
        let number = self.number()?;
        u32::try_from(number).map_err(|_| self.out_of_range(field))
    }

    pub(super) fn text(self, field: &'static str) -> Result<&'a str, RecordError> {
        std::str::from_utf8(self.bytes).map_err(|_| self.out_of_range(field))
    }

    pub(super) fn array<const N: usize>(self, field: &'static str) -> Result<[u8; N], RecordError> {
        self.bytes.try_into().map_err(|_| self.out_of_range(field))
    }

    pub(super) fn out_of_range(self, field: &'static str) -> RecordError {
        let record = self.record;
        RecordError::OutOfRange { record, field }
    }
}

pub(super) fn push_varint(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0; VARINT_BYTES_MAX];
    let len = varint_into(&mut bytes, value);
    out.extend_from_slice(&bytes[..len]);
}

/// Writes a LEB128 varint, as the reader of `wire` reads it; returns its length.
fn varint_into(bytes: &mut [u8; VARINT_BYTES_MAX], mut value: u64) -> usize {
    for (at, byte) in bytes.iter_mut().enumerate() {
        let low = (value & 0x7f).to_le_bytes()[0];
        value >>= 7;
        if value == 0 {
            *byte = low;
            return at + 1;
        }
        *byte = low | 0x80;
    }
    unreachable!("ten bytes hold any 64 bits")
}

const VARINT_BYTES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_were_written() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut writer = Writer::default();
            writer.number(5, value);
            let bytes = writer.finish();
            let mut fields = Fields::strict("thing", &bytes);
            let field = fields.next().expect("whole").expect("one field");
            assert_eq!((field.tag, field.number()), (5, Ok(value)));
            assert!(fields.next().expect("whole").is_none());
        }
    }

    #[test]
    fn an_unknown_field_is_refused_unless_the_reader_only_looks() {
        let mut writer = Writer::default();
        writer.text(99, "later");
        let bytes = writer.finish();
        let mut strict = Fields::strict("thing", &bytes);
        let field = strict.next().expect("whole").expect("one field");
        let error = strict.unknown(field).expect_err("refused");
        assert_eq!(
            error.to_string(),
            "field 99 of a thing: a later version has written it"
        );
        assert_eq!(Fields::lenient("thing", &bytes).unknown(field), Ok(()));
    }

    #[test]
    fn lengths_that_point_behind_the_end_are_refused() {
        for bytes in [
            &[1][..],
            &[1, 5, 0],
            &[1, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0xff; 11],
        ] {
            assert!(Fields::strict("thing", bytes).next().is_err(), "{bytes:?}");
        }
        let mut fields = Fields::strict("thing", &[1, 2, 0x80, 0x80]);
        let field = fields.next().expect("whole").expect("one field");
        assert_eq!(field.number(), Err(RecordError::Truncated));
    }
}
