//! The first words on a connection: a control stream each way, a hello each way, their check.
//!
//! ```text
//!   dialling side                        dialled side
//!   control stream: hello  ──────────>
//!                          <──────────   control stream: hello
//!            both check certificate and hello
//!   the side that does not decide (see `peers`) sends its members: it is willing
//!   the side that decides sends its members: the link is up
//! ```
//!
//! So both sides have had their say before the link is up on either.
//!
//! Everything is checked after both hellos are there: a close before the other side has confirmed
//! the TLS handshake would hide the reason (RFC 9000, section 10.2.3). This module does not know
//! which links there are.

use bytes::Bytes;
use callboard_protocol::code::Code;
use callboard_protocol::wire::Limits;
use callboard_protocol::wire::control::{Control, MemberInfo};
use callboard_protocol::wire::frame::FrameError;
use callboard_protocol::wire::hello::{Accepted, Hello, LinkRefusal, PeerKind};
use rustls::pki_types::CertificateDer;

use super::close;
use super::error::LinkDown;
use super::identity::{self, Certified};
use super::link::PeerInfo;
use super::peers::{Met, Refused};
use super::split::Splitter;

/// A connection whose hellos fit.
pub(super) struct Greeted {
    pub(super) peer: PeerInfo,
    pub(super) accepted: Accepted,
    pub(super) send: quinn::SendStream,
    pub(super) control: ControlReader,
}

/// Exchanges and checks the hellos. It does not close the connection.
pub(super) async fn greet(
    connection: &quinn::Connection,
    ours: &Hello,
    dialled: bool,
    limits: &Limits,
) -> Result<Greeted, Refused> {
    let lost = |error: quinn::ConnectionError| LinkDown::from(&error);
    let mut send = connection.open_uni().await.map_err(lost)?;
    let _ = send.set_priority(CONTROL_PRIORITY);
    let mut first = vec![CONTROL_STREAM];
    Control::Hello(Box::new(ours.clone()))
        .encode(&mut first, limits)
        .map_err(malformed)?;
    send.write_all(&first)
        .await
        .map_err(|error| write_error(&error))?;

    let mut recv = connection.accept_uni().await.map_err(lost)?;
    let mut kind = [0];
    recv.read_exact(&mut kind)
        .await
        .map_err(|error| exact_error(&error))?;
    if kind[0] != CONTROL_STREAM {
        return Err(LinkDown::new(Code::FrameMalformed, "the first stream is not control").into());
    }
    let mut control = ControlReader::new(recv, *limits);
    let Some(Control::Hello(theirs)) = control.next().await? else {
        return Err(LinkDown::new(Code::FrameMalformed, "the first frame is not a hello").into());
    };

    let met = Met {
        id: theirs.about.id,
        name: theirs.about.name.clone(),
        incarnation: theirs.about.incarnation,
        kind: theirs.about.kind,
    };
    let certified = certificate_names(connection).map_err(LinkDown::from)?;
    let accepted = ours
        .check(&theirs, &certified.peer)
        .map_err(|why| Refused {
            // Who it is decides where is dialled later, so it is told of a hello that the
            // certificate bears out, and of no other. That it has this node's name, as the node
            // itself has, is found last.
            peer: (why.code == Code::DuplicateNode).then_some(met),
            by_peer: false,
            why: why.into(),
        })?;
    if dialled && theirs.about.kind == PeerKind::Client {
        return Err(LinkDown::new(Code::KindMismatch, "a client was dialled").into());
    }
    let peer = PeerInfo::new(theirs.about, certified, connection.remote_address());
    Ok(Greeted {
        peer,
        accepted,
        send,
        control,
    })
}

fn certificate_names(connection: &quinn::Connection) -> Result<Certified, LinkRefusal> {
    let unnamed = |detail: String| LinkRefusal::new(Code::IdentityMismatch, detail);
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or_else(|| unnamed("the peer showed no certificate".to_owned()))?;
    let leaf = chain
        .first()
        .ok_or_else(|| unnamed("the peer showed no certificate".to_owned()))?;
    identity::certified(leaf)
        .map_err(|detail| unnamed(format!("the certificate is not usable: {detail}")))
}

/// Reads the frames of a control stream.
#[derive(Debug)]
pub(super) struct ControlReader {
    stream: quinn::RecvStream,
    splitter: Splitter,
    /// What was read and not split yet.
    piece: Bytes,
    limits: Limits,
}

impl ControlReader {
    fn new(stream: quinn::RecvStream, limits: Limits) -> Self {
        let splitter = Splitter::new(limits.control_bytes_max);
        Self {
            stream,
            splitter,
            piece: Bytes::new(),
            limits,
        }
    }

    /// Returns whether the last frame was whole.
    pub(super) fn is_between_frames(&self) -> bool {
        self.splitter.is_between_frames()
    }

    /// Reads the list of members by which the other side agrees to the link.
    pub(super) async fn members(&mut self) -> Result<Vec<MemberInfo>, LinkDown> {
        match self.next().await? {
            Some(Control::Members(members)) => Ok(members),
            _ => Err(LinkDown::new(
                Code::FrameMalformed,
                "no members after the hello",
            )),
        }
    }

    /// Returns the next frame, or nothing at the end of the stream.
    ///
    /// Cancel safe: what was read is kept.
    pub(super) async fn next(&mut self) -> Result<Option<Control>, LinkDown> {
        loop {
            if let Some(frame) = self.splitter.next(&mut self.piece).map_err(malformed)? {
                return Control::decode(&frame, &self.limits)
                    .map(Some)
                    .map_err(malformed);
            }
            let read = self.stream.read_chunk(CHUNK_BYTES_MAX, true).await;
            match read.map_err(|error| read_error(&error))? {
                Some(chunk) => self.piece = chunk.bytes,
                None if self.splitter.is_between_frames() => return Ok(None),
                None => return Err(LinkDown::new(Code::FrameMalformed, "a frame was cut off")),
            }
        }
    }
}

pub(super) fn malformed(error: FrameError) -> LinkDown {
    LinkDown::new(error.code(), error.to_string())
}

/// A stream of the link must not end before the link does: its order would be lost.
pub(super) fn read_error(error: &quinn::ReadError) -> LinkDown {
    match error {
        quinn::ReadError::ConnectionLost(error) => LinkDown::from(error),
        other => LinkDown::new(Code::PeerLost, format!("the peer gave up a lane: {other}")),
    }
}

pub(super) fn exact_error(error: &quinn::ReadExactError) -> LinkDown {
    match error {
        quinn::ReadExactError::ReadError(error) => read_error(error),
        quinn::ReadExactError::FinishedEarly(_) => {
            LinkDown::new(Code::FrameMalformed, "a stream ended before its preface")
        }
    }
}

pub(super) fn write_error(error: &quinn::WriteError) -> LinkDown {
    match error {
        quinn::WriteError::ConnectionLost(error) => LinkDown::from(error),
        other => LinkDown::new(Code::PeerLost, format!("the peer stopped a lane: {other}")),
    }
}

impl From<&quinn::ConnectionError> for LinkDown {
    fn from(error: &quinn::ConnectionError) -> Self {
        close::reason(error)
    }
}

impl From<LinkRefusal> for LinkDown {
    fn from(refusal: LinkRefusal) -> Self {
        Self::new(refusal.code, refusal.detail)
    }
}

/// The first byte of a one-way stream: what it is.
pub(super) const CONTROL_STREAM: u8 = 0;
/// A lane; its number follows in one byte.
pub(super) const LANE_STREAM: u8 = 1;

/// Control goes first, then lanes, then the streams of calls, which have priority 0.
const CONTROL_PRIORITY: i32 = 2;
pub(super) const LANE_PRIORITY: i32 = 1;

const CHUNK_BYTES_MAX: usize = 64 << 10;
