//! The wire: how types are described, values encoded, and frames laid out.
//!
//! Bytes that come in are hostile. Nothing here panics, overflows the stack or allocates by a
//! length that was not checked, whatever they are. This module knows no sockets and no links; it
//! turns bytes into values and back. It may depend on `id` and `code`.
//!
//! | module | what it lays out |
//! | --- | --- |
//! | [`frame`](mod@frame) | the length field of every frame |
//! | [`header`] | frames on a lane: calls, replies, watches |
//! | [`stream`] | frames on the stream of a call: long bodies and items |
//! | [`control`], [`hello`] | frames on the control lane, first of all each side's hello |
//! | `codec` | bodies: postcard, decoded with a depth limit and a size budget |
//! | `shape` | the fingerprint and the depth of a type |

pub mod control;
pub mod frame;
pub mod header;
pub mod hello;
pub mod stream;

mod codec;
mod lend;
mod limited;
mod limits;
pub(crate) mod reader;
mod shape;
mod std_impls;

pub(crate) use codec::decode_plain;
pub use codec::{
    DecodeError, DecodeLimits, EncodeError, Parts, decode, decode_parts, encode_into, encode_parts,
    lend,
};
pub use lend::{LONG_BYTES_MIN, Lender, Shared};
pub use limits::{DEPTH_MAX, Limits};
pub use shape::{
    Elements, Fields, OPAQUE_DEPTH, Recursion, Shape, ShapeError, ShapeInfo, Variants, Wire,
    shape_of,
};
