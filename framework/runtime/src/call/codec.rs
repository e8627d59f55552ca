//! Bodies to bytes and back, with the limits of this node, and with the node at hand to the refs
//! inside a body while it is decoded.

use std::{cell::RefCell, sync::Arc};

use callboard_protocol::{
    code::{CallError, Code},
    wire::{
        DecodeError, DecodeLimits, EncodeError, ShapeInfo, Wire, decode, encode_into,
        stream::StreamFrame,
    },
};
use serde::Serialize;

use super::{face::FaceMethod, hub::Hub, interface::MethodSpec};

thread_local! {
    /// The node whose bytes are being decoded on this thread. Decoding does not await, so the value
    /// cannot leak into another task.
    static DECODING: RefCell<Option<Arc<Hub>>> = const { RefCell::new(None) };
}

/// Returns the node whose bytes this thread decodes, for refs inside a body.
pub(crate) fn decoding_hub() -> Option<Arc<Hub>> {
    DECODING.with_borrow(Clone::clone)
}

/// Decodes the arguments of a call.
///
/// # Errors
/// `BodyUndecodable`, `BodyOverLimit`.
pub(crate) fn decode_args<T: Wire>(
    bytes: &[u8],
    hub: &Arc<Hub>,
    method: &FaceMethod,
) -> Result<T, CallError> {
    let shape = method.shapes.args;
    decode_within(bytes, shape, hub).map_err(|error| {
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
    bytes: &[u8],
    hub: &Arc<Hub>,
    method: &FaceMethod,
) -> Result<T, CallError> {
    decode_item(bytes, method.shapes.reply, hub, method.spec)
}

fn decode_within<T: Wire>(
    bytes: &[u8],
    shape: ShapeInfo,
    hub: &Arc<Hub>,
) -> Result<T, DecodeError> {
    let _scope = Scope::enter(hub);
    decode(
        bytes,
        &DecodeLimits::for_body(bytes.len(), shape.depth, hub.limits()),
    )
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

/// Encodes arguments as a frame for a stream of their own.
///
/// # Errors
/// `BodyTooLarge` over `bytes_max`, `BodyUnencodable`.
pub(crate) fn encode_apart<T: Serialize>(
    value: &T,
    bytes_max: usize,
    spec: &'static MethodSpec,
) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    StreamFrame::Body(&[]).encode(&mut bytes);
    encode_into(value, &mut bytes, bytes_max).map_err(|error| encode_failed(spec, &error))?;
    Ok(bytes)
}

/// Encodes a reply that does not go into a lane's frame now.
///
/// # Errors
/// `ReplyTooLarge` over `bytes_max`, `ReplyUnencodable`.
pub(crate) fn encode_reply<T: Serialize>(
    value: &T,
    bytes_max: usize,
    spec: &'static MethodSpec,
) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    encode_into(value, &mut bytes, bytes_max).map_err(|error| reply_encode_failed(spec, &error))?;
    Ok(bytes)
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
    bytes: &[u8],
    shape: ShapeInfo,
    hub: &Arc<Hub>,
    spec: &'static MethodSpec,
) -> Result<T, CallError> {
    decode_within(bytes, shape, hub).map_err(|error| {
        spec.error(Code::ReplyUndecodable)
            .with_detail(undecoded(&error, shape))
    })
}

/// Returns the longest frame that is read from a call's stream, in bytes: the kind's byte comes
/// before a body or an item at this node's cap.
pub(crate) fn stream_frame_bytes_max(hub: &Hub) -> usize {
    (hub.limits().body_bytes_max as usize).saturating_add(1)
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

/// Puts the node into the thread's slot and the earlier one back at the end.
struct Scope(Option<Arc<Hub>>);

impl Scope {
    fn enter(hub: &Arc<Hub>) -> Self {
        Self(DECODING.replace(Some(hub.clone())))
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        DECODING.set(self.0.take());
    }
}
