//! The chain of a call: who waits for it, so that a call that would wait for itself is found.
//!
//! On the wire it is the root u64, the number of actors u8, and for each its node u64, incarnation
//! u64, number u64 and interface u32.

use crate::id::{ActorAddr, ActorId, Incarnation, InterfaceId, NodeId};
use crate::wire::frame::FrameError;
use crate::wire::reader::Reader;

/// An actor that waits for a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ChainLink {
    /// Which actor it is.
    pub actor: ActorAddr,
    /// What it is, so that whoever reports a cycle can name it.
    pub interface: InterfaceId,
}

impl ChainLink {
    fn to_bytes(self) -> [u8; CHAIN_LINK_BYTES] {
        let mut bytes = [0; CHAIN_LINK_BYTES];
        let (node, rest) = bytes.split_at_mut(8);
        let (incarnation, rest) = rest.split_at_mut(8);
        let (actor, interface) = rest.split_at_mut(8);
        node.copy_from_slice(&self.actor.node.0.to_le_bytes());
        incarnation.copy_from_slice(&self.actor.incarnation.0.to_le_bytes());
        actor.copy_from_slice(&self.actor.actor.0.to_le_bytes());
        interface.copy_from_slice(&self.interface.0.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; CHAIN_LINK_BYTES]) -> Self {
        let mut reader = Reader::new(bytes);
        let mut number = || reader.array().map_or(0, u64::from_le_bytes);
        let actor = ActorAddr {
            node: NodeId(number()),
            incarnation: Incarnation(number()),
            actor: ActorId(number()),
        };
        let interface = InterfaceId(reader.array().map_or(0, u32::from_le_bytes));
        Self { actor, interface }
    }
}

/// The actors that wait for a call, outermost first: at most [`CHAIN_MAX`].
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(Links<'a>);

/// A chain is borrowed from the caller's list, or from the bytes of a frame.
#[derive(Clone, Copy, Debug)]
enum Links<'a> {
    Ids(&'a [ChainLink]),
    Bytes(&'a [[u8; CHAIN_LINK_BYTES]]),
}

impl<'a> Chain<'a> {
    /// The chain of a call that no actor waits for.
    pub const EMPTY: Self = Self(Links::Ids(&[]));

    /// Returns the chain of these actors.
    #[must_use]
    pub const fn new(ids: &'a [ChainLink]) -> Self {
        Self(Links::Ids(ids))
    }

    /// Returns the number of actors in the chain.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Links::Ids(ids) => ids.len(),
            Links::Bytes(bytes) => bytes.len(),
        }
    }

    /// Says whether no actor waits for the call.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether this actor waits for the call.
    #[must_use]
    pub fn contains(&self, actor: ActorAddr) -> bool {
        self.iter().any(|link| link.actor == actor)
    }

    /// Returns the actors, outermost first.
    pub fn iter(&self) -> impl Iterator<Item = ChainLink> + 'a {
        let (ids, bytes): (&[ChainLink], &[[u8; CHAIN_LINK_BYTES]]) = match self.0 {
            Links::Ids(ids) => (ids, &[]),
            Links::Bytes(bytes) => (&[], bytes),
        };
        let decoded = bytes.iter().map(ChainLink::from_bytes);
        ids.iter().copied().chain(decoded)
    }
}

impl PartialEq for Chain<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// Appends the root and the chain, which has at most [`CHAIN_MAX`] actors.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the caller checked that it is 16 at most"
)]
pub(super) fn put_chain(out: &mut Vec<u8>, root: u64, chain: Chain<'_>) {
    out.extend_from_slice(&root.to_le_bytes());
    out.push(chain.len() as u8);
    for link in chain.iter() {
        out.extend_from_slice(&link.to_bytes());
    }
}

/// Reads the root and the chain.
pub(super) fn take_chain<'a>(reader: &mut Reader<'a>) -> Result<(u64, Chain<'a>), FrameError> {
    let root = u64::from_le_bytes(reader.array()?);
    let count = usize::from(reader.byte()?);
    if count > CHAIN_MAX {
        return Err(FrameError::FieldTooLong {
            field: "chain",
            len: count,
            max: CHAIN_MAX,
        });
    }
    let (links, _) = reader.slice(count * CHAIN_LINK_BYTES)?.as_chunks();
    Ok((root, Chain(Links::Bytes(links))))
}

/// The most actors in a chain of calls that wait for each other.
pub const CHAIN_MAX: usize = 16;

pub(super) const CHAIN_LINK_BYTES: usize = 8 + 8 + 8 + 4;
