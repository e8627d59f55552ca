//! Reads hostile bytes: every length is checked against what is left before it is used.
//!
//! The numbers are LEB128 varints with the width's last byte checked, as postcard writes them.
//! Used by the body decoder, the frame decoder and the records of `slots`. Depends on nothing.

/// Why reading stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadError {
    /// The bytes ended inside a value, or a length pointed behind their end.
    UnexpectedEnd,
    /// A number is longer than its type.
    NumberTooLong,
}

/// A cursor over borrowed bytes.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

/// Defines a varint reader for one width.
macro_rules! varint {
    ($name:ident, $int:ty) => {
        #[doc = concat!("Reads a varint into a `", stringify!($int), "`.")]
        #[inline]
        pub(crate) fn $name(&mut self) -> Result<$int, ReadError> {
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
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads one byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, ReadError> {
        let [first, rest @ ..] = self.rest else {
            return Err(ReadError::UnexpectedEnd);
        };
        self.rest = rest;
        Ok(*first)
    }

    /// Reads as many bytes as the array holds.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(ReadError::UnexpectedEnd)?;
        self.rest = rest;
        Ok(*array)
    }

    /// Reads a varint length and that many bytes.
    #[inline]
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], ReadError> {
        let len = self.length()?;
        self.slice(len)
    }

    /// Reads this many bytes.
    #[inline]
    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(ReadError::UnexpectedEnd)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Reads all that is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Reads a varint length. The caller checks it against a limit or against what is left.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<usize, ReadError> {
        usize::try_from(self.varint_u64()?).map_err(|_| ReadError::UnexpectedEnd)
    }

    varint!(varint_u16, u16);
    varint!(varint_u32, u32);
    varint!(varint_u64_by_byte, u64);
    varint!(varint_u128, u128);

    /// Reads a varint into a `u64`.
    ///
    /// Ids and times of a frame's header have four to eight bytes. They are read as one word whose
    /// groups of seven bits are then moved together, in three steps that each join neighbours. Other
    /// numbers are small, and left to the loop.
    #[inline]
    pub(crate) fn varint_u64(&mut self) -> Result<u64, ReadError> {
        if let Some(word) = self.rest.first_chunk::<8>()
            && word[0] >= 0x80
        {
            let word = u64::from_le_bytes(*word);
            let ends = !word & CONTINUED;
            if ends != 0 {
                // At most seven: the bytes below the first one that ends the number.
                let before = ends.trailing_zeros() / 8;
                let word = word & (u64::MAX >> (56 - 8 * before)) & !CONTINUED;
                let pairs = (word & 0x007f_007f_007f_007f) | ((word & 0x7f00_7f00_7f00_7f00) >> 1);
                let fours = (pairs & 0x3fff_0000_3fff) | ((pairs & 0x3fff_0000_3fff_0000) >> 2);
                let value = (fours & 0x0fff_ffff) | ((fours & 0x0fff_ffff_0000_0000) >> 4);
                self.rest = &self.rest[before as usize + 1..];
                return Ok(value);
            }
        }
        self.varint_u64_by_byte()
    }

    /// Returns the number of unread bytes.
    #[inline]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }
}

/// The bit of every byte that says that a varint goes on.
const CONTINUED: u64 = 0x8080_8080_8080_8080;

#[cfg(test)]
mod tests {
    use super::super::frame::put_varint;
    use super::*;

    #[test]
    fn numbers_are_read_by_the_word_as_by_the_byte() {
        let mut values: Vec<u64> = (0..64).flat_map(|bit| [1 << bit, (1 << bit) - 1]).collect();
        values.extend([u64::MAX, 0x0123_4567_89ab_cdef, 0xaaaa_aaaa_aaaa_aaaa]);
        for value in values {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let len = bytes.len();
            for behind in 0..9 {
                bytes.resize(len + behind, 0xff);
                let (mut by_word, mut by_byte) = (Reader::new(&bytes), Reader::new(&bytes));
                assert_eq!(by_word.varint_u64(), Ok(value));
                assert_eq!(by_byte.varint_u64_by_byte(), Ok(value));
                assert_eq!(by_word.remaining(), behind);
                assert_eq!(by_byte.remaining(), behind);
            }
            for cut in 0..len {
                let read = Reader::new(&bytes[..cut]).varint_u64();
                assert_eq!(read, Err(ReadError::UnexpectedEnd), "{value} cut to {cut}");
            }
        }
        // Longer than need be, and longer than may be.
        let long = [0x81, 0x80, 0x80, 0x80, 0x00, 7, 7, 7, 7];
        assert_eq!(Reader::new(&long).varint_u64(), Ok(1));
        let endless = Reader::new(&[0xff; 16]).varint_u64();
        assert_eq!(endless, Err(ReadError::NumberTooLong));
    }
}
