//! What the nodes of a cluster say to each other about it, and what a node keeps of it on its disk.
//!
//! Only bytes and values: who says what and when is decided in `membership` and `slots`, and done by
//! the runtime. Messages ride the control lane, see [`wire::control`](crate::wire::control); one that
//! is too long for it goes in parts. It may depend on `id`, `membership`, `slots`, `wire` and the hash
//! function.

mod memory;
mod message;
mod parcel;

pub use memory::{MEMORY_BYTES_MAX, MemoryError, decode_memory, encode_memory};
pub use message::{
    JOIN_DETAIL_BYTES_MAX, Leading, Message, MessageError, NotGranted, PART_BYTES, Seen, Word,
    decode_message, encode_message,
};
pub use parcel::{Forwarded, Parcel, SEND_BYTES_MAX, STATE_BYTES_MAX, Sender};
