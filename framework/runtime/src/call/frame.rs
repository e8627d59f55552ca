//! A call's frame that has arrived, taken apart: what it is for, who sent it, what is known of it.

use std::time::Duration;

use callboard_protocol::{
    id::{ActorAddr, ActorId, Incarnation, InterfaceId, MethodId},
    time::Time,
    wire::header::{Call as CallFrame, Target},
};

use super::{
    arrival::Arrival,
    codec::Encoding,
    coming::Sight,
    hold::Ordered,
    hub::Hub,
    meta::{Caller, Meta},
    scope::Chain,
    session::Session,
};

/// What a call that has arrived is for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Aim<'a> {
    pub(super) interface: InterfaceId,
    pub(super) method: MethodId,
    /// The number of a spawned actor, and the life of the node that it is of.
    pub(super) spawned: Option<(Incarnation, ActorId)>,
    /// The encoded key of a keyed one.
    pub(super) key: Option<&'a [u8]>,
}

/// Who sent a frame and what it is for: what the order of frames is kept for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    /// The actor that calls, by its number on its node; 0 outside actors.
    sender: u64,
    pub(super) target: HeldTarget,
}

/// What a frame is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HeldTarget {
    Service(InterfaceId),
    Keyed(InterfaceId, Box<[u8]>),
    Spawned(ActorAddr),
}

/// A call's frame, taken apart, with its body or a place for it.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) call: ArrivedCall,
    /// Nothing while the body is still on its stream.
    pub(super) body: Option<Encoding<'static>>,
}

/// A call's frame without its body.
#[derive(Debug)]
pub(super) struct ArrivedCall {
    pub(super) pair: Pair,
    pub(super) interface: InterfaceId,
    pub(super) method: MethodId,
    /// What the caller takes the method's types for, if the hello did not settle it.
    pub(super) shape: Option<u64>,
    pub(super) meta: Meta,
    pub(super) sight: Sight,
    pub(super) arrival: Arrival,
}

impl<'a> Aim<'a> {
    pub(super) fn of(call: &CallFrame<'a>) -> Self {
        let (spawned, key) = match call.target {
            Target::Service => (None, None),
            Target::Keyed(key) => (None, Some(key)),
            Target::Spawned {
                incarnation, actor, ..
            } => (Some((incarnation, actor)), None),
        };
        Self {
            interface: call.interface,
            method: call.method,
            spawned,
            key,
        }
    }

    /// Returns that of a call of the method that was held.
    pub(super) fn of_held(
        target: &'a HeldTarget,
        interface: InterfaceId,
        method: MethodId,
    ) -> Self {
        let (spawned, key) = match target {
            HeldTarget::Service(_) => (None, None),
            HeldTarget::Keyed(_, key) => (None, Some(&**key)),
            HeldTarget::Spawned(addr) => (Some((addr.incarnation, addr.actor)), None),
        };
        Self {
            interface,
            method,
            spawned,
            key,
        }
    }
}

impl Pair {
    /// Returns that of a call of a peer.
    pub(super) fn of(hub: &Hub, call: &CallFrame<'_>) -> Self {
        let target = match call.target {
            Target::Service => HeldTarget::Service(call.interface),
            Target::Keyed(key) => HeldTarget::Keyed(call.interface, key.into()),
            Target::Spawned {
                incarnation, actor, ..
            } => HeldTarget::Spawned(ActorAddr {
                node: hub.me().id,
                incarnation,
                actor,
            }),
        };
        Self {
            sender: call.sender,
            target,
        }
    }
}

impl ArrivedCall {
    pub(super) fn new(
        hub: &Hub,
        call: &CallFrame<'_>,
        (meta, sight): (Meta, Sight),
        arrival: Arrival,
    ) -> Self {
        Self {
            pair: Pair::of(hub, call),
            interface: call.interface,
            method: call.method,
            shape: shape(call),
            meta,
            sight,
            arrival,
        }
    }
}

impl Ordered for Arrived {
    type Pair = Pair;

    fn pair(&self) -> &Pair {
        &self.call.pair
    }

    fn cost(&self) -> usize {
        std::mem::size_of::<Self>() + self.body.as_ref().map_or(0, Encoding::len)
    }

    fn is_whole(&self) -> bool {
        self.body.is_some()
    }
}

/// Returns what the caller takes the method's types for, if the hello did not settle it.
pub(super) fn shape(call: &CallFrame<'_>) -> Option<u64> {
    match call.target {
        Target::Spawned { shape, .. } => Some(shape),
        Target::Service | Target::Keyed(_) => None,
    }
}

pub(super) fn sight(session: &Session, lane: usize, call: &CallFrame<'_>) -> Sight {
    match call.target {
        Target::Keyed(_) => Sight::by(session.seen.on(lane), call.epoch),
        _ => Sight::default(),
    }
}

pub(super) fn meta(session: &Session, call: &CallFrame<'_>, now: Time) -> Meta {
    let peer = session.link.peer();
    let actor = (call.sender != 0).then_some(ActorAddr {
        node: peer.id,
        incarnation: peer.incarnation,
        actor: ActorId(call.sender),
    });
    let caller = Caller::remote(peer, actor);
    let deadline = match call.deadline_left {
        left if left > DEADLINE_MAX => Time::MAX,
        left => now + left,
    };
    let chain = Chain::received(call.root, &call.chain);
    Meta::new(caller, deadline, now, chain).marked(call.trace, call.request)
}

/// A call that its peer gives more than this has no deadline.
const DEADLINE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
