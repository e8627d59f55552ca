//! Bodies to bytes and back, with the limits of this node, and with the node at hand to the refs
//! inside a body while it is decoded.

use std::{
    cell::{Cell, RefCell},
    mem,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use callboard_protocol::{
    code::{CallError, Code},
    wire::{
        DecodeError, DecodeLimits, EncodeError, Lender, Parts, ShapeInfo, Shared, Wire, decode,
        decode_parts, encode_into, encode_parts,
        header::KEY_BYTES_MAX,
        lend,
        stream::{BodyHead, PARTS_MAX},
    },
};
use serde::Serialize;

use super::{face::FaceMethod, handover::state_of, hub::Hub, interface::MethodSpec, room::Taken};

thread_local! {
    /// The node whose bytes are being decoded on this thread. Decoding does not await, so the value
    /// cannot leak into another task.
    static DECODING: Slot = const { Slot::new() };
}

/// A thread's place for a node.
///
/// A thread mostly decodes for one node, and few bodies have refs. So the node stays in its place
/// from one body to the next, where it keeps nothing but its own memory, and a body only says that
/// the place is in use: no count of the node's owners is moved.
struct Slot {
    hub: RefCell<Weak<Hub>>,
    in_use: Cell<bool>,
}

impl Slot {
    const fn new() -> Self {
        Self {
            hub: RefCell::new(Weak::new()),
            in_use: Cell::new(false),
        }
    }
}

/// Returns the node whose bytes this thread decodes, for refs inside a body.
pub(crate) fn decoding_hub() -> Option<Arc<Hub>> {
    DECODING.with(|slot| slot.in_use.get().then(|| slot.hub.borrow().upgrade())?)
}

/// Decodes the arguments of a call.
///
/// # Errors
/// `BodyUndecodable`, `BodyOverLimit`.
pub(crate) fn decode_args<T: Wire>(
    body: Encoding<'_>,
    hub: &Arc<Hub>,
    method: &FaceMethod,
) -> Result<T, CallError> {
    let shape = method.shapes.args;
    decode_within(body, shape, hub).map_err(|error| {
        method
            .spec
            .error(error.code())
            .with_detail(undecoded(&error, shape))
    })
}

/// Decodes a reply or an item.
///
/// # Errors
/// `ReplyUndecodable`.
pub(crate) fn decode_reply<T: Wire>(
    body: Encoding<'_>,
    hub: &Arc<Hub>,
    method: &FaceMethod,
) -> Result<T, CallError> {
    decode_item(body, method.shapes.reply, hub, method.spec)
}

fn decode_within<T: Wire>(
    body: Encoding<'_>,
    shape: ShapeInfo,
    hub: &Arc<Hub>,
) -> Result<T, DecodeError> {
    let _scope = Scope::enter(hub);
    let limits = DecodeLimits::for_body(body.len(), shape.depth, hub.limits());
    match body {
        Encoding::Lent(bytes) => decode(bytes, &limits),
        Encoding::Frame(bytes) => decode(&bytes, &limits),
        Encoding::Apart(body) => {
            let Large { parts, room } = *body;
            let decoded = decode_parts(parts, &limits);
            // AFTER it was decoded: until then both are there.
            drop(room);
            decoded
        }
    }
}

/// An encoding that arrived.
#[derive(Debug)]
pub(crate) enum Encoding<'a> {
    /// In a frame that somebody else holds.
    Lent(&'a [u8]),
    /// In a frame, whose memory it shares.
    Frame(Bytes),
    /// On a stream of its own.
    Apart(Box<Large>),
}

/// An encoding that came on a stream of its own, and the room that it takes up.
#[derive(Debug)]
pub(crate) struct Large {
    /// Every second one is a long text or byte string.
    pub(super) parts: Vec<Vec<u8>>,
    pub(super) room: Taken,
}

impl Encoding<'_> {
    /// Returns how many bytes there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Lent(bytes) => bytes.len(),
            Self::Frame(bytes) => bytes.len(),
            Self::Apart(body) => body.parts.iter().map(Vec::len).sum(),
        }
    }

    /// Returns a copy of them that lies in memory of its own.
    pub(crate) fn into_vec(self) -> Vec<u8> {
        match self {
            Self::Lent(bytes) => bytes.to_vec(),
            Self::Frame(bytes) => bytes.to_vec(),
            Self::Apart(body) => body.parts.concat(),
        }
    }
}

impl Default for Encoding<'_> {
    fn default() -> Self {
        Self::Lent(&[])
    }
}

impl From<Bytes> for Encoding<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Frame(bytes)
    }
}

/// Says why a value could not be decoded. One that is too deep for what its type states is counted
/// as the type's author does, in rounds.
fn undecoded(error: &DecodeError, shape: ShapeInfo) -> String {
    match (error, shape.recursion) {
        (DecodeError::TooDeep { depth }, Some(recursion)) if *depth == shape.depth => format!(
            "the value nests deeper than the {} rounds that {} allows with #[wire(depth = {})]",
            recursion.rounds, recursion.type_name, recursion.rounds
        ),
        (error, _) => error.to_string(),
    }
}

/// Appends arguments or a reply to a lane's frame.
///
/// # Errors
/// `TooLarge` for what has to travel on a stream of its own.
pub(crate) fn encode_inline<T: Serialize>(
    value: &T,
    buffer: &mut Vec<u8>,
    hub: &Hub,
) -> Result<(), EncodeError> {
    encode_into(value, buffer, hub.call_limits().inline_bytes_max)
}

/// An encoding that does not lie in a lane's buffer. Long byte strings of it are not copied if they
/// are shared.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Every second one is a long text or byte string.
    parts: Vec<Bytes>,
    len: usize,
}

impl Encoded {
    fn of<T: Wire>(value: &T, bytes_max: usize) -> Result<Self, EncodeError> {
        let mut split = Split::default();
        lend(value, &mut split);
        let mut last = Vec::new();
        encode_parts(value, &mut last, &mut split, bytes_max)?;
        split.parts.push(last.into());
        Ok(Self {
            len: split.parts.iter().map(Bytes::len).sum(),
            parts: split.parts,
        })
    }

    /// Returns how many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends them.
    pub(crate) fn write_to(&self, buffer: &mut Vec<u8>) {
        self.parts
            .iter()
            .for_each(|part| buffer.extend_from_slice(part));
    }

    /// Returns the frame that carries it on a stream, in pieces.
    pub(crate) fn into_frame(self) -> Vec<Bytes> {
        let mut head = Vec::new();
        let whole = self.parts.len() == 1;
        let lens = self.parts.iter().map(Bytes::len);
        // More parts than there may be are never made, nor is one of 4 GiB: a body has a cap.
        if whole || BodyHead::encode_parts(&mut head, lens).is_err() {
            head.clear();
            BodyHead::encode_whole(&mut head);
        }
        [head.into()].into_iter().chain(self.parts).collect()
    }
}

/// Parts that are split off while a value is encoded.
#[derive(Debug, Default)]
struct Split {
    parts: Vec<Bytes>,
    /// What of the value is shared.
    shared: Vec<Bytes>,
}

impl Lender for Split {
    fn take(&mut self, shared: Shared) {
        if self.shared.len() < PARTS_MAX {
            self.shared.push(Bytes::from_owner(shared));
        }
    }
}

impl Parts for Split {
    fn split(&mut self, before: &mut Vec<u8>, long: &[u8]) -> bool {
        if self.parts.len() + 2 >= PARTS_MAX {
            return false;
        }
        let place = long.as_ptr_range();
        let shared = self.shared.iter().find(|shared| {
            let all = shared.as_ptr_range();
            all.start <= place.start && place.end <= all.end
        });
        let part = match shared {
            Some(shared) => shared.slice_ref(long),
            None => Bytes::copy_from_slice(long),
        };
        self.parts.extend([mem::take(before).into(), part]);
        true
    }
}

/// Encodes arguments for a stream of their own.
///
/// # Errors
/// `BodyTooLarge` over `bytes_max`, `BodyUnencodable`.
pub(crate) fn encode_apart<T: Wire>(
    value: &T,
    bytes_max: usize,
    spec: &'static MethodSpec,
) -> Result<Encoded, CallError> {
    Encoded::of(value, bytes_max).map_err(|error| encode_failed(spec, &error))
}

/// Encodes a key, by which its slot is found.
///
/// # Errors
/// `BodyTooLarge` over the most that a key may have, `BodyUnencodable`.
pub(crate) fn encode_key<T: Wire>(
    key: &T,
    spec: &'static MethodSpec,
) -> Result<Box<[u8]>, CallError> {
    let mut bytes = Vec::new();
    encode_into(key, &mut bytes, KEY_BYTES_MAX).map_err(|error| match error.is_limit() {
        true => spec
            .error(Code::BodyTooLarge)
            .with_detail(format!("a key has at most {KEY_BYTES_MAX} bytes")),
        false => encode_failed(spec, &error),
    })?;
    Ok(bytes.into())
}

/// Decodes a key.
///
/// # Errors
/// `BodyUndecodable`, `BodyOverLimit`.
pub(crate) fn decode_key<T: Wire>(bytes: &[u8], hub: &Arc<Hub>, of: &str) -> Result<T, CallError> {
    let _scope = Scope::enter(hub);
    let limits = DecodeLimits::for_body(bytes.len(), KEY_DEPTH_MAX, hub.limits());
    decode(bytes, &limits).map_err(|error| {
        CallError::new(error.code(), format!("the key of {of}")).with_detail(error.to_string())
    })
}

/// Encodes the key of an activation; nothing for one that can not travel, which has no slot either.
pub(crate) fn key_bytes<T: Wire>(key: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    encode_into(key, &mut bytes, KEY_BYTES_MAX).ok()?;
    Some(bytes)
}

/// Appends a state of the actor `name` to what comes before it.
///
/// # Errors
/// `BodyTooLarge` over `bytes_max`, `BodyUnencodable`.
pub(super) fn encode_state<T: Wire>(
    state: &T,
    bytes: &mut Vec<u8>,
    bytes_max: usize,
    name: &str,
) -> Result<(), CallError> {
    encode_into(state, bytes, bytes_max).map_err(|error| {
        let code = match error.is_limit() {
            true => Code::BodyTooLarge,
            false => Code::BodyUnencodable,
        };
        CallError::new(code, state_of(name)).with_detail(error.to_string())
    })
}

/// Decodes a state of the actor `name`.
///
/// # Errors
/// `BodyUndecodable`, `BodyOverLimit`.
pub(super) fn decode_state<T: Wire>(
    bytes: &[u8],
    shape: ShapeInfo,
    hub: &Arc<Hub>,
    name: &str,
) -> Result<T, CallError> {
    decode_within(Encoding::Lent(bytes), shape, hub).map_err(|error| {
        CallError::new(error.code(), state_of(name)).with_detail(undecoded(&error, shape))
    })
}

/// Encodes a reply that does not go into a lane's frame now.
///
/// # Errors
/// `ReplyTooLarge` over `bytes_max`, `ReplyUnencodable`.
pub(crate) fn encode_reply<T: Wire>(
    value: &T,
    bytes_max: usize,
    spec: &'static MethodSpec,
) -> Result<Encoded, CallError> {
    Encoded::of(value, bytes_max).map_err(|error| reply_encode_failed(spec, &error))
}

/// Appends an item to its frame.
///
/// # Errors
/// `ReplyTooLarge` over `bytes_max`, `ReplyUnencodable`.
pub(crate) fn encode_item<T: Serialize>(
    value: &T,
    bytes: &mut Vec<u8>,
    bytes_max: usize,
    spec: &'static MethodSpec,
) -> Result<(), CallError> {
    encode_into(value, bytes, bytes_max).map_err(|error| reply_encode_failed(spec, &error))
}

/// Decodes an item.
///
/// # Errors
/// `ReplyUndecodable`.
pub(crate) fn decode_item<T: Wire>(
    body: Encoding<'_>,
    shape: ShapeInfo,
    hub: &Arc<Hub>,
    spec: &'static MethodSpec,
) -> Result<T, CallError> {
    decode_within(body, shape, hub).map_err(|error| {
        spec.error(Code::ReplyUndecodable)
            .with_detail(undecoded(&error, shape))
    })
}

/// Returns the longest frame that is read from a call's stream, in bytes: a body or an item at this
/// node's cap, and what comes before it.
pub(crate) fn stream_frame_bytes_max(hub: &Hub) -> usize {
    (hub.limits().body_bytes_max as usize).saturating_add(BodyHead::BYTES_MAX)
}

/// Says why arguments could not be encoded.
pub(crate) fn encode_failed(spec: &'static MethodSpec, error: &EncodeError) -> CallError {
    match error.is_limit() {
        true => over_cap(spec, Code::BodyTooLarge, error),
        false => spec
            .error(Code::BodyUnencodable)
            .with_detail(error.to_string()),
    }
}

fn reply_encode_failed(spec: &'static MethodSpec, error: &EncodeError) -> CallError {
    match error.is_limit() {
        true => over_cap(spec, Code::ReplyTooLarge, error),
        false => spec
            .error(Code::ReplyUnencodable)
            .with_detail(error.to_string()),
    }
}

/// Names the setting whose bound a body is over, and what has none.
fn over_cap(spec: &'static MethodSpec, code: Code, error: &EncodeError) -> CallError {
    spec.error(code).with_detail(format!(
        "{error}, the `body_bytes_max` of the two nodes' limits (the smaller one); a stream may be \
         of any length"
    ))
}

/// Puts the node into the thread's slot, and at the end the slot back into the state it was in.
struct Scope {
    was_in_use: bool,
    /// The node that was there, if it was another one.
    earlier: Option<Weak<Hub>>,
}

impl Scope {
    fn enter(hub: &Arc<Hub>) -> Self {
        DECODING.with(|slot| {
            let is_there = slot.hub.borrow().as_ptr() == Arc::as_ptr(hub);
            Self {
                was_in_use: slot.in_use.replace(true),
                earlier: (!is_there).then(|| slot.hub.replace(Arc::downgrade(hub))),
            }
        })
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        DECODING.with(|slot| {
            slot.in_use.set(self.was_in_use);
            if self.was_in_use
                && let Some(earlier) = self.earlier.take()
            {
                slot.hub.replace(earlier);
            }
        });
    }
}

/// How deep a key may nest: names and numbers do not, and what does is no good key.
const KEY_DEPTH_MAX: u32 = 32;

#[cfg(test)]
mod tests;
