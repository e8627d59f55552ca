//! Refs: what a caller holds. Making one does no I/O; sending one sends its address.

use std::{
    any::Any,
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, OnceLock, Weak},
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, NodeId},
    wire::{Shape as WireShape, Wire},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    codec,
    face::Face,
    hub::Hub,
    interface::{Definition, Interface, MethodSpec, NoKey},
    kind::Kind,
    route::CellIn,
    session::Session,
};

/// The untyped-by-method part of a ref. The types that the macros make wrap one.
#[doc(hidden)]
pub struct Ref<I: Definition> {
    address: Address<I::Key>,
    /// Nothing for a ref that was decoded outside a call.
    at: Option<Arc<At>>,
}

/// Where a ref is used from, and what calls through it have looked up.
struct At {
    hub: Arc<Hub>,
    /// The cell, when the actor lives in this process; its type is known where it is called.
    cell: Option<Arc<dyn Any + Send + Sync>>,
    /// Looked up by the first call.
    face: OnceLock<Known>,
    /// The session of the first call to a peer, which serves until it is replaced.
    session: OnceLock<Weak<Session>>,
    /// The encoded key, of a keyed actor that was called where keys are placed.
    key: OnceLock<Box<[u8]>>,
}

/// A face that a ref has looked up.
enum Known {
    /// Of a ref that holds the cell of its actor. Nothing is hosted by the face of such an actor.
    Kept(Arc<Face>),
    /// A ref must not keep what its node hosted.
    Weak(Weak<Face>),
}

impl At {
    fn new(hub: Arc<Hub>, cell: Option<Arc<dyn Any + Send + Sync>>) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            hub,
            cell,
            face: OnceLock::new(),
            session: OnceLock::new(),
            key: OnceLock::new(),
        }))
    }
}

/// Where a ref points.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Address<K> {
    /// Any node that hosts the service.
    Service,
    /// The activation with this key.
    Keyed(K),
    /// One spawned actor.
    Spawned(ActorAddr),
}

impl<I: Definition> Ref<I> {
    pub(crate) fn new(
        address: Address<I::Key>,
        hub: Arc<Hub>,
        cell: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Self {
        Self {
            address,
            at: At::new(hub, cell),
        }
    }

    /// Returns the key; `NoKey` for what has none.
    pub fn key(&self) -> &I::Key {
        let key: Option<&I::Key> = match &self.address {
            Address::Keyed(key) => Some(key),
            Address::Service | Address::Spawned(_) => (&NO_KEY as &dyn Any).downcast_ref(),
        };
        key.expect("the derive gives the key type `NoKey` to what is not keyed")
    }

    pub(crate) fn address(&self) -> &Address<I::Key> {
        &self.address
    }

    /// Returns the node that the ref is used from.
    ///
    /// # Errors
    /// `Detached` for a ref that was decoded outside a call.
    pub(crate) fn hub(&self, spec: &'static MethodSpec) -> Result<&Arc<Hub>, CallError> {
        self.try_hub().ok_or_else(|| spec.error(Code::Detached))
    }

    pub(crate) fn try_hub(&self) -> Option<&Arc<Hub>> {
        Some(&self.at.as_ref()?.hub)
    }

    pub(crate) fn cell(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.at.as_ref()?.cell.clone()
    }

    /// Returns the session with the node that a call through the ref goes to. It is found at once if it was this node
    /// the first time too: always, for a spawned actor.
    pub(super) fn session(&self, node: NodeId) -> Option<Arc<Session>> {
        let at = self.at.as_deref()?;
        let known = at.session.get().and_then(Weak::upgrade);
        if let Some(session) =
            known.filter(|session| session.node() == node && session.is_current())
        {
            return Some(session);
        }
        let session = at.hub.session(node)?;
        // One that was replaced stays: the hub is asked from then on.
        let _ = at.session.set(Arc::downgrade(&session));
        Some(session)
    }

    /// Returns the key in the encoding of the wire, by which its slot is found.
    ///
    /// # Errors
    /// `Detached`; `BodyUnencodable` and `BodyTooLarge` for a key that cannot travel.
    pub(super) fn key_bytes(
        &self,
        key: &I::Key,
        spec: &'static MethodSpec,
    ) -> Result<&[u8], CallError> {
        let at = self.at.as_deref();
        let at = at.ok_or_else(|| spec.error(Code::Detached))?;
        if let Some(known) = at.key.get() {
            return Ok(known);
        }
        let bytes = codec::encode_key(key, spec)?;
        Ok(at.key.get_or_init(|| bytes))
    }

    /// Returns the node that a spawned actor lives on.
    pub fn node(&self) -> Option<NodeId> {
        match &self.address {
            Address::Spawned(addr) => Some(addr.node),
            Address::Service | Address::Keyed(_) => None,
        }
    }

    /// Returns the same ref as used from the given node, with the cell if it lives there.
    pub(crate) fn attached(mut self, hub: Arc<Hub>) -> Self {
        let cell = match &self.address {
            Address::Spawned(addr) if hub.is_mine(addr) => {
                hub.actor(addr.actor).and_then(|host| host.cell())
            }
            _ => None,
        };
        self.at = At::new(hub, cell);
        self
    }
}

impl<I: Interface> Ref<I> {
    /// Returns the interface as the node that the ref is used from sees it.
    ///
    /// # Errors
    /// `Detached`, or what [`Hub::face`] says.
    pub(crate) fn face(&self, spec: &'static MethodSpec) -> Result<Arc<Face>, CallError> {
        let at = self.at.as_ref();
        let at = at.ok_or_else(|| spec.error(Code::Detached))?;
        let known = match at.face.get() {
            Some(Known::Kept(face)) => Some(face.clone()),
            Some(Known::Weak(face)) => face.upgrade(),
            None => None,
        };
        if let Some(face) = known {
            return Ok(face);
        }
        let face = at.hub.face::<I>()?;
        // A node that has stopped makes its faces anew for each call, which fails then.
        let _ = at.face.set(match at.cell {
            Some(_) => Known::Kept(face.clone()),
            None => Known::Weak(Arc::downgrade(&face)),
        });
        Ok(face)
    }

    /// Returns the cell of an actor in this process and its interface, once a call has looked it up.
    pub(super) fn near(&self) -> Option<(&CellIn<I>, &Face)> {
        let at = self.at.as_deref()?;
        let Known::Kept(face) = at.face.get()? else {
            return None;
        };
        let cell = at.cell.as_deref()?.downcast_ref()?;
        Some((cell, face))
    }
}

impl<I: Definition> Clone for Ref<I> {
    fn clone(&self) -> Self {
        Self {
            address: self.address.clone(),
            at: self.at.clone(),
        }
    }
}

impl<I: Definition> PartialEq for Ref<I> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<I: Definition> Eq for Ref<I> {}

impl<I: Definition> Hash for Ref<I> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.address.hash(state);
    }
}

impl<I: Definition> fmt::Debug for Ref<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Service => write!(f, "{}", I::NAME),
            Address::Keyed(key) => write!(f, "{}({key:?})", I::NAME),
            Address::Spawned(addr) => write!(f, "{}@{addr}", I::NAME),
        }
    }
}

impl<I: Definition> Serialize for Ref<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.address.serialize(serializer)
    }
}

impl<'de, I: Definition> Deserialize<'de> for Ref<I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let address = Address::<I::Key>::deserialize(deserializer)?;
        let fits = matches!(
            (&address, I::KIND),
            (Address::Service, Kind::Service)
                | (Address::Keyed(_), Kind::Keyed)
                | (Address::Spawned(..), Kind::Spawned)
        );
        if !fits {
            return Err(serde::de::Error::custom("a ref of another kind"));
        }
        let detached = Self { address, at: None };
        Ok(match codec::decoding_hub() {
            Some(hub) => detached.attached(hub),
            None => detached,
        })
    }
}

impl<I: Definition> Wire for Ref<I> {
    fn describe(shape: &mut WireShape) {
        // The interface's name is part of the shape: a ref to one is not a ref to another.
        shape.choice::<Self>(I::NAME, None, |addresses| {
            addresses.variant("Service", |_| {});
            addresses.variant("Keyed", |fields| fields.field::<I::Key>("0"));
            addresses.variant("Spawned", |fields| fields.field::<ActorAddr>("0"));
        });
    }
}

/// The key of what has none, to borrow.
static NO_KEY: NoKey = NoKey;
