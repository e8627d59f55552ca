//! Frames on a lane: calls, replies, and what goes with them.
//!
//! Fields are written by hand, so that their bytes are the same in every version. All numbers of
//! fixed size are little-endian; a varint is LEB128 of up to ten bytes. The body is what is left
//! of the frame, so that it is encoded in place and decoded without a copy. What bodies mean is
//! not known here. Depends on `id`, `code` and `frame`.
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 1 | call | flags u8, call varint, interface u32, method u32, deadline left in µs varint, sender varint, target, chain, trace, body |
//! | 2 | reply | call varint, outcome u8 (0 body inline, 1 body on a stream, 2 error), body or error |
//! | 3 | cancel | call varint |
//! | 4 | watch | call varint, incarnation varint, actor varint |
//! | 5 | down | call varint, reason u8 |
//! | 6 | seen | version varint; only with `FEATURE_FORWARDS` |
//! | 7 | call by an epoch | epoch varint, not 0, and what a call has, whose target is keyed; only with `FEATURE_EPOCHS` |
//!
//! | flag of a call | meaning, and the field it adds |
//! | --- | --- |
//! | 0x01 | a send: no reply is wanted |
//! | 0x02 | the body comes on a stream of its own |
//! | 0x04 | a stream of its own goes with the call |
//! | 0x08 | the target is keyed: key length varint, key |
//! | 0x10 | the target is spawned: incarnation varint, actor varint, shape u64 |
//! | 0x20 | a chain: root u64, count u8 up to 16, for each node u64, incarnation u64, actor u64, interface u32 |
//! | 0x40 | a trace: trace id u128, span id u64, flags u8 |
//! | 0x80 | a request id u128 |
//!
//! An error is its code u16, subject length varint, subject, detail length varint, detail.

mod chain;

pub use chain::{CHAIN_MAX, Chain, ChainLink};

use std::time::Duration;

use chain::{CHAIN_LINK_BYTES, put_chain, take_chain};

use super::frame::{FrameError, Head, expect_end, put_bytes, put_error, put_varint, take_error};
use super::reader::Reader;
use crate::code::CallError;
use crate::id::{ActorId, CallId, Incarnation, InterfaceId, MethodId};

/// A frame on a lane. It borrows from the bytes it was decoded from.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Frame<'a> {
    /// A call or a send.
    Call(Call<'a>),
    /// The end of a call.
    Reply(Reply<'a>),
    /// The caller does not wait for a call or a watch any more.
    Cancel(CallId),
    /// The sender wants to hear when an actor of the receiver ends.
    Watch(Watch),
    /// A watched actor ended.
    Down(Down),
    /// The sender goes by this version of the tables of slots, or a later one: what comes after this on the
    /// lane was sent by it. Only where both sides have [`FEATURE_FORWARDS`](super::hello::FEATURE_FORWARDS).
    Seen(u64),
}

/// The header of a call, and its body.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Call<'a> {
    /// The number of the call on this link, chosen by the caller.
    pub id: CallId,
    /// Whether the caller wants no reply.
    pub send: bool,
    /// The interface that is called.
    pub interface: InterfaceId,
    /// The method that is called.
    pub method: MethodId,
    /// Which instance is called.
    pub target: Target<'a>,
    /// The epoch of the key's slot by which the caller has chosen the receiver. 0 where that is not said: for what has
    /// no key, and where not both sides have [`FEATURE_EPOCHS`](super::hello::FEATURE_EPOCHS).
    pub epoch: u64,
    /// The time the call has left, in whole microseconds.
    pub deadline_left: Duration,
    /// The actor that calls, by a number that is stable for it on its node. 0 outside actors.
    pub sender: u64,
    /// The number of the outermost call of the chain, 0 when the call is not part of one.
    pub root: u64,
    /// The actors that wait for this call, outermost first.
    pub chain: Chain<'a>,
    /// The caller's span, when it has one.
    pub trace: Option<TraceContext>,
    /// The caller's number for the request, the same in every attempt.
    pub request: Option<u128>,
    /// Whether a stream of its own goes with the call, for items in either direction.
    pub streamed: bool,
    /// The encoded arguments.
    pub body: Body<'a>,
}

/// Which instance of an interface a call is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target<'a> {
    /// The service that the node hosts.
    Service,
    /// The actor with this encoded key, of at most [`KEY_BYTES_MAX`] bytes.
    Keyed(&'a [u8]),
    /// An actor that was spawned on the node. A hello does not say which types a node spawns, so
    /// the call says what it takes the method's types for.
    Spawned {
        /// The life of the node in which it was spawned.
        incarnation: Incarnation,
        /// Its number in that life.
        actor: ActorId,
        /// The fingerprint of the method's types, as the caller knows them.
        shape: u64,
    },
}

/// Where the encoding of arguments or of a reply is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body<'a> {
    /// In the frame. When a frame is built, these bytes are appended to the header.
    Inline(&'a [u8]),
    /// On a stream of its own, because it is too long for a lane.
    OnStream,
}

/// The span in which a call was made, as in W3C Trace Context level 1.
/// <https://www.w3.org/TR/trace-context-1/>
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceContext {
    /// Identifies the whole trace.
    pub trace_id: u128,
    /// Identifies the caller's span.
    pub span_id: u64,
    /// The trace flags: bit 0 is "sampled".
    pub flags: u8,
}

/// The end of a call.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply<'a> {
    /// The number of the call.
    pub id: CallId,
    /// The encoded reply, or why there is none.
    pub outcome: Result<Body<'a>, CallError>,
}

/// Asks to be told when an actor ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watch {
    /// The number under which [`Down`] comes, from the same sequence as calls.
    pub id: CallId,
    /// The life of the node in which the actor was spawned.
    pub incarnation: Incarnation,
    /// The actor's number in that life.
    pub actor: ActorId,
}

/// Tells that a watched actor ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Down {
    /// The number of the watch.
    pub id: CallId,
    /// Why the actor ended.
    pub reason: DownReason,
}

/// Why an actor is down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum DownReason {
    /// It was stopped on purpose.
    Stopped,
    /// It failed and is not restarted.
    Failed,
    /// It was gone before the watch began, or belongs to an earlier life of its node.
    Gone,
    /// The link to its node was lost. Whether the actor still runs is not known.
    NodeLost,
    /// For a reason that this version does not know.
    Unrecognised,
}

impl DownReason {
    const fn number(self) -> u8 {
        match self {
            Self::Unrecognised => 0,
            Self::Stopped => 1,
            Self::Failed => 2,
            Self::Gone => 3,
            Self::NodeLost => 4,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Stopped,
            2 => Self::Failed,
            3 => Self::Gone,
            4 => Self::NodeLost,
            _ => Self::Unrecognised,
        }
    }
}

impl std::fmt::Display for DownReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Gone => "gone",
            Self::NodeLost => "node lost",
            Self::Unrecognised => "unrecognised",
        })
    }
}

impl<'a> Frame<'a> {
    /// Decodes a frame, without its length field.
    ///
    /// # Errors
    ///
    /// A [`FrameError`] when the bytes are not exactly one frame that may be on a lane.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            KIND_CALL => Call::decode(reader, 0).map(Self::Call),
            KIND_CALL_BY_EPOCH => {
                let epoch = reader.varint_u64()?;
                Call::decode(reader, epoch).and_then(Self::by_epoch)
            }
            KIND_REPLY => Reply::decode(reader).map(Self::Reply),
            KIND_CANCEL => {
                let id = CallId(reader.varint_u64()?);
                expect_end(&reader)?;
                Ok(Self::Cancel(id))
            }
            KIND_WATCH => {
                let id = CallId(reader.varint_u64()?);
                let (incarnation, actor) = take_spawned(&mut reader)?;
                expect_end(&reader)?;
                Ok(Self::Watch(Watch {
                    id,
                    incarnation,
                    actor,
                }))
            }
            KIND_DOWN => {
                let id = CallId(reader.varint_u64()?);
                let reason = DownReason::from_number(reader.byte()?);
                expect_end(&reader)?;
                Ok(Self::Down(Down { id, reason }))
            }
            KIND_SEEN => {
                let version = reader.varint_u64()?;
                expect_end(&reader)?;
                Ok(Self::Seen(version))
            }
            kind => Err(FrameError::UnknownKind { kind }),
        }
    }

    fn by_epoch(call: Call<'a>) -> Result<Self, FrameError> {
        match call.target {
            Target::Keyed(_) if call.epoch != 0 => Ok(Self::Call(call)),
            _ => Err(FrameError::BadField {
                field: "epoch",
                value: call.epoch,
            }),
        }
    }
}

impl<'a> Call<'a> {
    /// Appends the frame without its length field. The caller may append more of the body.
    ///
    /// # Errors
    ///
    /// [`FrameError::FieldTooLong`] when the key is longer than [`KEY_BYTES_MAX`] or the chain
    /// longer than [`CHAIN_MAX`]. Nothing is then appended.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        if self.chain.len() > CHAIN_MAX {
            return Err(too_long("chain", self.chain.len(), CHAIN_MAX));
        }
        if let Target::Keyed(key) = self.target
            && key.len() > KEY_BYTES_MAX
        {
            return Err(too_long("key", key.len(), KEY_BYTES_MAX));
        }
        let mut head = Head::new();
        match (self.target, self.epoch) {
            (Target::Keyed(_), 1..) => {
                head.put([KIND_CALL_BY_EPOCH]);
                head.varint(self.epoch);
                head.put([self.flags()]);
            }
            _ => head.put([KIND_CALL, self.flags()]),
        }
        head.varint(self.id.0);
        head.put(self.interface.0.to_le_bytes());
        head.put(self.method.0.to_le_bytes());
        head.varint(u64::try_from(self.deadline_left.as_micros()).unwrap_or(u64::MAX));
        head.varint(self.sender);
        if let Target::Spawned {
            incarnation,
            actor,
            shape,
        } = self.target
        {
            put_spawned(&mut head, incarnation, actor);
            head.put(shape.to_le_bytes());
        }
        head.write_to(out);
        if let Target::Keyed(key) = self.target {
            put_bytes(out, key);
        }
        if self.has_chain() {
            put_chain(out, self.root, self.chain);
        }
        if let Some(trace) = self.trace {
            out.extend_from_slice(&trace.trace_id.to_le_bytes());
            out.extend_from_slice(&trace.span_id.to_le_bytes());
            out.push(trace.flags);
        }
        if let Some(request) = self.request {
            out.extend_from_slice(&request.to_le_bytes());
        }
        if let Body::Inline(body) = self.body {
            out.extend_from_slice(body);
        }
        Ok(())
    }

    #[inline]
    fn decode(mut reader: Reader<'a>, epoch: u64) -> Result<Self, FrameError> {
        let flags = reader.byte()?;
        let has = |flag: u8| flags & flag != 0;
        if has(FLAG_KEYED) && has(FLAG_SPAWNED) {
            return Err(FrameError::BadField {
                field: "flags",
                value: flags.into(),
            });
        }
        let id = CallId(reader.varint_u64()?);
        let interface = InterfaceId(u32::from_le_bytes(reader.array()?));
        let method = MethodId(u32::from_le_bytes(reader.array()?));
        let deadline_left = Duration::from_micros(reader.varint_u64()?);
        let sender = reader.varint_u64()?;
        let target = if has(FLAG_KEYED) {
            let key = reader.bytes()?;
            if key.len() > KEY_BYTES_MAX {
                return Err(too_long("key", key.len(), KEY_BYTES_MAX));
            }
            Target::Keyed(key)
        } else if has(FLAG_SPAWNED) {
            let (incarnation, actor) = take_spawned(&mut reader)?;
            let shape = u64::from_le_bytes(reader.array()?);
            Target::Spawned {
                incarnation,
                actor,
                shape,
            }
        } else {
            Target::Service
        };
        let (root, chain) = if has(FLAG_CHAIN) {
            take_chain(&mut reader)?
        } else {
            (0, Chain::EMPTY)
        };
        let trace = if has(FLAG_TRACE) {
            Some(take_trace(&mut reader)?)
        } else {
            None
        };
        let request = if has(FLAG_REQUEST) {
            Some(u128::from_le_bytes(reader.array()?))
        } else {
            None
        };
        Ok(Self {
            id,
            send: has(FLAG_SEND),
            interface,
            method,
            target,
            epoch,
            deadline_left,
            sender,
            root,
            chain,
            trace,
            request,
            streamed: has(FLAG_STREAMED),
            body: take_body(reader, has(FLAG_BODY_ON_STREAM))?,
        })
    }

    #[inline]
    fn flags(&self) -> u8 {
        let target = match self.target {
            Target::Service => 0,
            Target::Keyed(_) => FLAG_KEYED,
            Target::Spawned { .. } => FLAG_SPAWNED,
        };
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        target
            | flag(self.send, FLAG_SEND)
            | flag(self.body == Body::OnStream, FLAG_BODY_ON_STREAM)
            | flag(self.streamed, FLAG_STREAMED)
            | flag(self.has_chain(), FLAG_CHAIN)
            | flag(self.trace.is_some(), FLAG_TRACE)
            | flag(self.request.is_some(), FLAG_REQUEST)
    }

    fn has_chain(&self) -> bool {
        self.root != 0 || !self.chain.is_empty()
    }
}

impl<'a> Reply<'a> {
    /// Appends the frame without its length field. After an inline body the caller may append more
    /// of it.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut head = Head::new();
        head.put([KIND_REPLY]);
        head.varint(self.id.0);
        head.put([match &self.outcome {
            Ok(Body::Inline(_)) => OUTCOME_INLINE,
            Ok(Body::OnStream) => OUTCOME_ON_STREAM,
            Err(_) => OUTCOME_ERROR,
        }]);
        head.write_to(out);
        match &self.outcome {
            Ok(Body::Inline(body)) => out.extend_from_slice(body),
            Ok(Body::OnStream) => {}
            Err(error) => put_error(out, error),
        }
    }

    #[inline]
    fn decode(mut reader: Reader<'a>) -> Result<Self, FrameError> {
        let id = CallId(reader.varint_u64()?);
        let outcome = match reader.byte()? {
            OUTCOME_INLINE => Ok(take_body(reader, false)?),
            OUTCOME_ON_STREAM => Ok(take_body(reader, true)?),
            OUTCOME_ERROR => Err(take_error(&mut reader)?),
            value => {
                return Err(FrameError::BadField {
                    field: "outcome",
                    value: value.into(),
                });
            }
        };
        Ok(Self { id, outcome })
    }
}

impl Watch {
    /// Appends the frame without its length field.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut head = Head::new();
        head.put([KIND_WATCH]);
        head.varint(self.id.0);
        put_spawned(&mut head, self.incarnation, self.actor);
        head.write_to(out);
    }
}

impl Down {
    /// Appends the frame without its length field.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(KIND_DOWN);
        put_varint(out, self.id.0);
        out.push(self.reason.number());
    }
}

/// Appends a cancel frame without its length field.
pub fn encode_cancel(id: CallId, out: &mut Vec<u8>) {
    out.push(KIND_CANCEL);
    put_varint(out, id.0);
}

/// Appends a seen frame without its length field.
pub fn encode_seen(version: u64, out: &mut Vec<u8>) {
    out.push(KIND_SEEN);
    put_varint(out, version);
}

#[inline]
fn put_spawned(head: &mut Head, incarnation: Incarnation, actor: ActorId) {
    head.varint(incarnation.0);
    head.varint(actor.0);
}

#[inline]
fn take_spawned(reader: &mut Reader<'_>) -> Result<(Incarnation, ActorId), FrameError> {
    Ok((
        Incarnation(reader.varint_u64()?),
        ActorId(reader.varint_u64()?),
    ))
}

fn take_trace(reader: &mut Reader<'_>) -> Result<TraceContext, FrameError> {
    Ok(TraceContext {
        trace_id: u128::from_le_bytes(reader.array()?),
        span_id: u64::from_le_bytes(reader.array()?),
        flags: reader.byte()?,
    })
}

#[inline]
fn take_body(mut reader: Reader<'_>, on_stream: bool) -> Result<Body<'_>, FrameError> {
    if on_stream {
        expect_end(&reader)?;
        return Ok(Body::OnStream);
    }
    Ok(Body::Inline(reader.take_rest()))
}

#[cold]
fn too_long(field: &'static str, len: usize, max: usize) -> FrameError {
    FrameError::FieldTooLong { field, len, max }
}

const KIND_CALL: u8 = 1;
const KIND_REPLY: u8 = 2;
const KIND_CANCEL: u8 = 3;
const KIND_WATCH: u8 = 4;
const KIND_DOWN: u8 = 5;
const KIND_SEEN: u8 = 6;
const KIND_CALL_BY_EPOCH: u8 = 7;

const FLAG_SEND: u8 = 0x01;
const FLAG_BODY_ON_STREAM: u8 = 0x02;
const FLAG_STREAMED: u8 = 0x04;
const FLAG_KEYED: u8 = 0x08;
const FLAG_SPAWNED: u8 = 0x10;
const FLAG_CHAIN: u8 = 0x20;
const FLAG_TRACE: u8 = 0x40;
const FLAG_REQUEST: u8 = 0x80;

const OUTCOME_INLINE: u8 = 0;
const OUTCOME_ON_STREAM: u8 = 1;
const OUTCOME_ERROR: u8 = 2;

/// The longest encoded key of an actor, in bytes. A key is kept for as long as its actor.
pub const KEY_BYTES_MAX: usize = 1024;

/// The longest header of a call, in bytes, without its length field: what a lane's frame cap has to
/// leave room for beside the body.
pub const HEADER_BYTES_MAX: usize = 2 + 10 + 10 + 4 + 4 + 10 + 10    // kind, epoch, and flags to sender
    + 2 + KEY_BYTES_MAX + 8 + 1 + CHAIN_LINK_BYTES * CHAIN_MAX + 25 + 16; // target, chain, trace, request

#[cfg(test)]
mod tests;
