//! Frames on the control lane: the hello, the members, and signs of life.
//!
//! The control lane has priority over the others and carries no calls. Its bodies are encoded like
//! those of calls, so they have the same limits. Depends on `hello`, `codec` and `frame`.
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 32 | hello | oldest protocol version u16, newest u16, then [`About`]; what follows is ignored |
//! | 33 | members | a list of [`MemberInfo`] |
//! | 34 | leaving | none |
//! | 35 | ping | number u64 |
//! | 36 | pong | the ping's number u64 |
//! | 37 | cluster | a [message of the cluster](crate::cluster), to the end; only with `FEATURE_CLUSTER` |
//! | 38 | withdrawn | a list of interface ids u32; only with `FEATURE_WITHDRAWS` |
//! | 39 | namesake | [`Namesake`]; only with `FEATURE_NAMESAKES` |

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::codec::{DecodeLimits, decode_plain, decode_prefix, encode_into};
use super::frame::{self, FrameError, expect_end};
use super::hello::{About, Hello, ProtocolRange};
use super::limits::Limits;
use super::reader::Reader;
use crate::id::{Incarnation, InterfaceId, NodeId, NodeName};

/// A frame on the control lane.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Control {
    /// The first frame of each side.
    Hello(Box<Hello>),
    /// The nodes that the sender knows. A node that is not in it may still exist. Of a longer list
    /// than [`Limits::members_max`] the first are decoded.
    Members(Vec<MemberInfo>),
    /// The sender leaves the cluster: it takes no new calls, and finishes those it has.
    Leaving,
    /// Asks for a [`Pong`](Self::Pong) with the same number.
    Ping(u64),
    /// Answers a [`Ping`](Self::Ping).
    Pong(u64),
    /// What nodes say to each other about the cluster, see [`cluster`](crate::cluster). Sent only
    /// where both sides have [`FEATURE_CLUSTER`](super::hello::FEATURE_CLUSTER).
    Cluster(Vec<u8>),
    /// Interfaces that the hello named and that the sender hosts no more. Of a longer list than
    /// [`Limits::hosts_max`] the first are decoded. Sent only where both sides have
    /// [`FEATURE_WITHDRAWS`](super::hello::FEATURE_WITHDRAWS).
    Withdrawn(Vec<InterfaceId>),
    /// Another process of the receiver's name, which the sender refuses as long as it is linked with the receiver. Sent
    /// only where both sides have [`FEATURE_NAMESAKES`](super::hello::FEATURE_NAMESAKES).
    Namesake(Namesake),
}

/// A process that has the name of another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Namesake {
    /// Which life it is.
    pub incarnation: Incarnation,
    /// Where it was met: it dials from there, or listens there.
    pub addr: SocketAddr,
}

/// A node of the cluster, as another one knows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: NodeName,
    /// The life of it that was seen last.
    pub incarnation: Incarnation,
    /// Where it can be reached.
    pub addr: SocketAddr,
}

impl Control {
    /// Appends the whole frame, with its length field.
    ///
    /// # Errors
    ///
    /// [`FrameError::TooLarge`] and [`FrameError::Encode`] when it is longer than
    /// [`Limits::control_bytes_max`]. Nothing is then appended.
    pub fn encode(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), FrameError> {
        let start = frame::begin(out);
        match self.encode_fields(out, limits) {
            Ok(()) => frame::end(out, start, limits.control_bytes_max),
            Err(error) => {
                start.cancel(out);
                Err(error)
            }
        }
    }

    fn encode_fields(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), FrameError> {
        let bytes_max = limits.control_bytes_max as usize;
        match self {
            Self::Hello(hello) => {
                out.push(KIND_HELLO);
                out.extend_from_slice(&hello.protocol.min.to_le_bytes());
                out.extend_from_slice(&hello.protocol.max.to_le_bytes());
                encode_into(&hello.about, out, bytes_max).map_err(FrameError::Encode)?;
            }
            Self::Members(members) => {
                out.push(KIND_MEMBERS);
                encode_into(members, out, bytes_max).map_err(FrameError::Encode)?;
            }
            Self::Leaving => out.push(KIND_LEAVING),
            Self::Ping(number) => {
                out.push(KIND_PING);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Pong(number) => {
                out.push(KIND_PONG);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Self::Cluster(message) => encode_cluster(message, out),
            Self::Withdrawn(interfaces) => {
                out.push(KIND_WITHDRAWN);
                encode_into(interfaces, out, bytes_max).map_err(FrameError::Encode)?;
            }
            Self::Namesake(namesake) => {
                out.push(KIND_NAMESAKE);
                encode_into(namesake, out, bytes_max).map_err(FrameError::Encode)?;
            }
        }
        Ok(())
    }

    /// Decodes a frame, without its length field, whose length was checked against
    /// [`Limits::control_bytes_max`].
    ///
    /// # Errors
    ///
    /// [`FrameError::Protocol`] when it is a hello and no protocol version is common, otherwise the
    /// variant for what is wrong with the bytes.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Self, FrameError> {
        let mut reader = Reader::new(bytes);
        match reader.byte()? {
            KIND_HELLO => decode_hello(reader, limits),
            KIND_MEMBERS => {
                let body = reader.take_rest();
                let mut members: Vec<MemberInfo> =
                    decode_plain(body, &body_limits(body, limits)).map_err(FrameError::Body)?;
                // Not refused: the sender knows its own limit, not this one, and would send it again
                // on every new link.
                members.truncate(limits.members_max);
                Ok(Self::Members(members))
            }
            KIND_LEAVING => {
                expect_end(&reader)?;
                Ok(Self::Leaving)
            }
            kind @ (KIND_PING | KIND_PONG) => {
                let number = u64::from_le_bytes(reader.array()?);
                expect_end(&reader)?;
                Ok(if kind == KIND_PING {
                    Self::Ping(number)
                } else {
                    Self::Pong(number)
                })
            }
            KIND_CLUSTER => Ok(Self::Cluster(reader.take_rest().to_vec())),
            KIND_WITHDRAWN => {
                let body = reader.take_rest();
                let mut interfaces: Vec<InterfaceId> =
                    decode_plain(body, &body_limits(body, limits)).map_err(FrameError::Body)?;
                interfaces.truncate(limits.hosts_max);
                Ok(Self::Withdrawn(interfaces))
            }
            KIND_NAMESAKE => {
                let body = reader.take_rest();
                let namesake = decode_plain(body, &body_limits(body, limits));
                namesake.map(Self::Namesake).map_err(FrameError::Body)
            }
            kind => Err(FrameError::UnknownKind { kind }),
        }
    }
}

/// Appends the fields of a [`Control::Cluster`], without the frame's length.
pub fn encode_cluster(message: &[u8], out: &mut Vec<u8>) {
    out.push(KIND_CLUSTER);
    out.extend_from_slice(message);
}

fn decode_hello(mut reader: Reader<'_>, limits: &Limits) -> Result<Control, FrameError> {
    let min = u16::from_le_bytes(reader.array()?);
    let max = u16::from_le_bytes(reader.array()?);
    let protocol = ProtocolRange { min, max };
    if ProtocolRange::OURS.common(protocol).is_none() {
        // Checked BEFORE the rest is read: a version without a common one may lay it out anyhow.
        return Err(FrameError::Protocol { min, max });
    }
    let body = reader.take_rest();
    let about: About = decode_prefix(body, &body_limits(body, limits)).map_err(FrameError::Body)?;
    match about.check_entries(limits) {
        Ok(()) => Ok(Control::Hello(Box::new(Hello { protocol, about }))),
        Err(reason) => Err(FrameError::BadHello { reason }),
    }
}

fn body_limits(body: &[u8], limits: &Limits) -> DecodeLimits {
    DecodeLimits::for_body(body.len(), BODY_DEPTH, limits)
}

/// More levels than any body of a control frame has.
const BODY_DEPTH: u32 = 16;

const KIND_HELLO: u8 = 32;
const KIND_MEMBERS: u8 = 33;
const KIND_LEAVING: u8 = 34;
const KIND_PING: u8 = 35;
const KIND_PONG: u8 = 36;
const KIND_CLUSTER: u8 = 37;
const KIND_WITHDRAWN: u8 = 38;
const KIND_NAMESAKE: u8 = 39;

#[cfg(test)]
mod tests;
