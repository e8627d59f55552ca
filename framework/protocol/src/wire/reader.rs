//! Reads hostile bytes: every length is checked against what is left before it is used.
//!
//! The numbers are LEB128 varints with the width's last byte checked, as postcard writes them.
//! Used by the body decoder and by the frame decoder. Depends on nothing.

/// Why reading stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ReadError {
    /// The bytes ended inside a value, or a length pointed behind their end.
    UnexpectedEnd,
    /// A number is longer than its type.
    NumberTooLong,
}

/// A cursor over borrowed bytes.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// Defines a varint reader for one width.
macro_rules! varint {
    ($name:ident, $int:ty) => {
        #[doc = concat!("Reads a varint into a `", stringify!($int), "`.")]
        #[inline]
        pub(super) fn $name(&mut self) -> Result<$int, ReadError> {
            // Most numbers are small: one byte, one branch.
            if let [first, rest @ ..] = self.rest
                && *first < 0x80
            {
                self.rest = rest;
                return Ok(<$int>::from(*first));
            }
            let mut value: $int = 0;
            let mut shift = 0;
            for (at, &byte) in self.rest.iter().enumerate() {
                let part = <$int>::from(byte & 0x7f);
                if shift >= <$int>::BITS || part > <$int>::MAX >> shift {
                    return Err(ReadError::NumberTooLong);
                }
                value |= part << shift;
                shift += 7;
                if byte < 0x80 {
                    self.rest = &self.rest[at + 1..];
                    return Ok(value);
                }
            }
            // A run of continuation bytes as long as the widest number is no number, however
            // it goes on.
            if shift >= <$int>::BITS {
                return Err(ReadError::NumberTooLong);
            }
            Err(ReadError::UnexpectedEnd)
        }
    };
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads one byte.
    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, ReadError> {
        let [first, rest @ ..] = self.rest else {
            return Err(ReadError::UnexpectedEnd);
        };
        self.rest = rest;
        Ok(*first)
    }

    /// Reads as many bytes as the array holds.
    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(ReadError::UnexpectedEnd)?;
        self.rest = rest;
        Ok(*array)
    }

    /// Reads a varint length and that many bytes.
    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let len = self.length()?;
        self.slice(len)
    }

    /// Reads this many bytes.
    #[inline]
    pub(super) fn slice(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(ReadError::UnexpectedEnd)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads all that is left.
    pub(super) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Reads a varint length. The caller checks it against a limit or against what is left.
    #[inline]
    pub(super) fn length(&mut self) -> Result<usize, ReadError> {
        usize::try_from(self.varint_u64()?).map_err(|_| ReadError::UnexpectedEnd)
    }

    varint!(varint_u16, u16);
    varint!(varint_u32, u32);
    varint!(varint_u64, u64);
    varint!(varint_u128, u128);

    /// Returns the number of unread bytes.
    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }
}
