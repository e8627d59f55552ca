//! What of a call goes into a lane: its frame, and which lane that is.
//!
//! It waits for nothing; `direct` and `remote` say what becomes of a frame that finds no room.

use std::time::Duration;

use callboard_protocol::{
    id::{CallId, InterfaceId},
    time::Time,
    wire::{
        EncodeError, Wire,
        frame::FrameError,
        header::{Body, Call as CallFrame, Chain as WireChain, Target},
    },
};

use crate::{
    env::Bug,
    net::{AppendError, Link, Ticket},
};

use super::{
    codec, face::Face, hub::Hub, interface::MethodSpec, meta::Meta, placed::Tenure,
    session::Session,
};

/// Appends a call's frame with its arguments, or with the word that they come on a stream.
pub(super) fn append<T: Wire>(
    hub: &Hub,
    link: &Link,
    lane: usize,
    frame: CallFrame<'_>,
    inline: Option<&T>,
) -> Result<Ticket, AppendError<AnnounceError>> {
    link.append(lane, |buffer| {
        let Some(args) = inline else {
            let frame = CallFrame {
                body: Body::OnStream,
                ..frame
            };
            return frame.encode(buffer).map_err(AnnounceError::Frame);
        };
        frame.encode(buffer).map_err(AnnounceError::Frame)?;
        codec::encode_inline(args, buffer, hub).map_err(AnnounceError::Body)
    })
}

/// Makes the part of a frame that does not depend on where it goes.
pub(super) fn header<'a>(
    meta: &'a Meta,
    face: &Face,
    spec: &MethodSpec,
    send: bool,
) -> CallFrame<'a> {
    CallFrame {
        id: CallId(0),
        send,
        interface: face.id,
        method: spec.id,
        target: Target::Service,
        epoch: 0,
        deadline_left: Duration::ZERO,
        sender: meta.caller.actor.map_or(0, |actor| actor.actor.0),
        root: meta.chain.root,
        chain: WireChain::new(meta.chain.links()),
        request: meta.request(),
        trace: meta.trace(),
        streamed: false,
        body: Body::Inline(&[]),
    }
}

/// Returns the epoch that a call of a key says, if the peer understands it.
pub(super) fn epoch(session: &Session, tenure: Option<Tenure>) -> u64 {
    let said = tenure.filter(|_| session.link.says_epochs());
    said.map_or(0, |it| it.epoch.0)
}

/// Why a call has no frame.
pub(super) enum AnnounceError {
    Frame(FrameError),
    Body(EncodeError),
}

/// A pair of sender and target stays on one lane.
pub(super) fn lane(
    hub: &Hub,
    session: &Session,
    meta: &Meta,
    target: &Target<'_>,
    interface: InterfaceId,
) -> usize {
    let sender = meta.caller.actor.map_or(0, |actor| actor.actor.0);
    let target = match target {
        Target::Service => u64::from(interface.0),
        Target::Spawned { actor, .. } => actor.0,
        Target::Keyed(key) => key.iter().fold(u64::from(interface.0), |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
        }),
    };
    let mixed = (sender ^ target.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let lanes = session.lanes();
    let lane = mixed as usize % lanes;
    if hub.env().plant.strikes(Bug::ReorderedLane) {
        (lane + 1) % lanes
    } else {
        lane
    }
}

/// Returns when the call is too late.
pub(super) fn due(hub: &Hub, spec: &MethodSpec, meta: &Meta) -> Time {
    match hub.env().plant.strikes(Bug::ForgottenDeadline) {
        true => Time::MAX,
        false => spec.answers_by(meta.deadline, meta.queued_at),
    }
}
