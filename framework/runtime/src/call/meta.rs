//! What travels with a call besides its arguments.

use std::sync::Arc;

use callboard_protocol::{
    id::{ActorAddr, NodeId},
    time::Time,
    wire::header::TraceContext,
};

use super::scope::Chain;

/// Who made a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The node or client.
    pub node: NodeId,
    /// The actor whose turn made the call, if an actor's did.
    pub actor: Option<ActorAddr>,
}

/// What the host knows of a call.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    pub(crate) caller: Caller,
    /// In this node's time.
    pub(crate) deadline: Time,
    pub(crate) queued_at: Time,
    pub(crate) chain: Chain,
    pub(crate) trace: Option<TraceContext>,
    pub(crate) request: Option<u128>,
}

/// A message in a mailbox.
#[derive(Debug)]
pub(crate) struct Queued<M> {
    pub(crate) meta: Arc<Meta>,
    pub(crate) message: M,
    /// When its turn began; before that, when it was queued.
    pub(crate) began: Time,
}
