//! What goes along with a slot that moves: states of actors, and the sends that wait for their turns.
//!
//! Kinds are only ever added at the end. A node that does not know one drops the message that has it, so a
//! later kind is handed only to who says that it knows it. Values only.

use serde::{Deserialize, Serialize};

use crate::id::{ActorAddr, MethodId, NodeId};

/// What goes along with a slot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Parcel {
    /// The state of an actor, as it was after its last turn.
    State {
        /// The actor's key, encoded.
        key: Vec<u8>,
        /// The state, at most [`STATE_BYTES_MAX`] bytes.
        state: Vec<u8>,
    },
    /// A send that waited for its turn, or that came while the slot was on its way. Only for a node with
    /// [`FEATURE_FORWARDS`](crate::wire::hello::FEATURE_FORWARDS).
    Send(Box<Forwarded>),
}

impl Parcel {
    /// Returns how many bytes of the key, and of the state or the arguments, there are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::State { key, state } => key.len() + state.len(),
            Self::Send(send) => send.key.len() + send.body.len(),
        }
    }

    /// Returns whether it is a send.
    #[must_use]
    pub const fn is_send(&self) -> bool {
        matches!(self, Self::Send(_))
    }
}

/// A send on its way to the next owner of its target's slot. It was allowed where it arrived.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forwarded {
    /// The actor's key, encoded.
    pub key: Vec<u8>,
    /// The method.
    pub method: MethodId,
    /// The fingerprint of the method's types, as the node that forwards it has them. One that has others
    /// refuses it.
    pub shape: u64,
    /// Who made it.
    pub sender: Sender,
    /// The time that it has left, in microseconds; nothing for one without a deadline.
    pub left_us: Option<u64>,
    /// The trace id, the span id and the flags of the trace that it belongs to.
    pub trace: Option<(u128, u64, u8)>,
    /// The id that its sender gave it.
    pub request: Option<u128>,
    /// The arguments, encoded, at most [`SEND_BYTES_MAX`] bytes.
    pub body: Vec<u8>,
}

/// Who made a send that is forwarded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sender {
    /// The node or client.
    pub node: NodeId,
    /// The actor whose turn made it, if an actor's did.
    pub actor: Option<ActorAddr>,
    /// The roles in the certificate of the node or client. Nothing if it is the node that forwards it,
    /// whose roles the next owner knows.
    pub roles: Option<Vec<String>>,
}

/// The longest state that goes along with a slot, in bytes.
pub const STATE_BYTES_MAX: usize = 1 << 20;

/// The longest arguments of a send that is forwarded, in bytes.
pub const SEND_BYTES_MAX: usize = 1 << 20;
