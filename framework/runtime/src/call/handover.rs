//! How the state of a keyed actor goes along with its slot: to bytes, and back.
//!
//! The bytes begin with the fingerprint of the type, 8 bytes, so that a node whose type differs refuses them
//! instead of misreading them. Depends on `codec`.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use callboard_protocol::{
    cluster::Parcel,
    code::{CallError, Code},
    id::ActorId,
    wire::{Wire, shape_of},
};

use super::{codec, hub::Hub};

/// What a keyed actor that is marked `handover` can do with its state.
pub struct Handover<T> {
    pack: fn(&T, usize, &str) -> Result<Vec<u8>, CallError>,
    unpack: Unpack<T>,
}

/// Decodes a state, on a node, of the actor of this name.
type Unpack<T> = fn(&[u8], &Arc<Hub>, &str) -> Result<T, CallError>;

impl<T> Handover<T> {
    /// Makes it for a type that travels.
    // The bound stands here, so that the lack of it is CB0062, and not "no such function".
    #[must_use]
    pub fn new() -> Self
    where
        T: Wire,
    {
        Self {
            pack: pack::<T>,
            unpack: unpack::<T>,
        }
    }
}

impl<T: Wire> Default for Handover<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Handover<T> {
    /// Encodes a state of the actor `name` into at most so many bytes.
    ///
    /// # Errors
    /// `BodyTooLarge`, `BodyUnencodable`, `ShapeUnbounded`.
    pub(crate) fn pack(
        &self,
        state: &T,
        bytes_max: usize,
        name: &str,
    ) -> Result<Vec<u8>, CallError> {
        (self.pack)(state, bytes_max, name)
    }

    /// Decodes a state.
    ///
    /// # Errors
    /// `SchemaMismatch` for that of another version of the type, `BodyUndecodable`, `BodyOverLimit`,
    /// `ShapeUnbounded`.
    pub(crate) fn unpack(&self, bytes: &[u8], hub: &Arc<Hub>, name: &str) -> Result<T, CallError> {
        (self.unpack)(bytes, hub, name)
    }
}

impl<T> fmt::Debug for Handover<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

fn pack<T: Wire>(state: &T, bytes_max: usize, name: &str) -> Result<Vec<u8>, CallError> {
    let shape = shape_of::<T>().map_err(|error| unbounded(name, &error.to_string()))?;
    let mut bytes = shape.fingerprint.to_le_bytes().to_vec();
    codec::encode_state(state, &mut bytes, bytes_max, name)?;
    Ok(bytes)
}

fn unpack<T: Wire>(bytes: &[u8], hub: &Arc<Hub>, name: &str) -> Result<T, CallError> {
    let shape = shape_of::<T>().map_err(|error| unbounded(name, &error.to_string()))?;
    let Some((fingerprint, body)) = bytes.split_first_chunk() else {
        return Err(CallError::new(Code::BodyUndecodable, state_of(name)));
    };
    if u64::from_le_bytes(*fingerprint) != shape.fingerprint {
        return Err(CallError::new(Code::SchemaMismatch, state_of(name))
            .with_detail("the node that had it has another version of the type"));
    }
    codec::decode_state(body, shape, hub, name)
}

fn unbounded(name: &str, why: &str) -> CallError {
    CallError::new(Code::ShapeUnbounded, state_of(name)).with_detail(why.to_owned())
}

/// Returns the state of a type as errors name it.
pub(super) fn state_of(name: &str) -> String {
    format!("the state of {name}")
}

/// The state of an activation while nobody runs on it: as it came with the slot, until the actor begins,
/// and as it goes with it, once the actor has ended.
#[derive(Debug, Default)]
pub(crate) struct Departure {
    /// It was told to end because of its slot.
    told: AtomicBool,
    /// Its state goes along.
    goes: AtomicBool,
    state: Mutex<Option<Vec<u8>>>,
}

impl Departure {
    /// Makes the one of an activation that begins with a state that came with its slot, or with none.
    pub(crate) fn new(state: Option<Vec<u8>>) -> Self {
        Self {
            state: Mutex::new(state),
            ..Self::default()
        }
    }

    /// Notes that the activation is told to end; returns whether it was not before.
    pub(crate) fn tell(&self) -> bool {
        !self.told.swap(true, Ordering::AcqRel)
    }

    /// Notes that the state goes along with the slot, BEFORE the activation is stopped.
    pub(crate) fn set_goes(&self) {
        self.goes.store(true, Ordering::Release);
    }

    /// Returns whether the state goes along with the slot.
    pub(crate) fn goes(&self) -> bool {
        self.goes.load(Ordering::Acquire)
    }

    /// Leaves the state here.
    pub(crate) fn put(&self, state: Vec<u8>) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    /// Returns a copy of the state, which stays here until it is [taken](Self::take).
    pub(crate) fn copy(&self) -> Option<Vec<u8>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.clone()
    }

    /// Returns whether it was told to end because of its slot.
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Takes the state.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.take()
    }
}

/// An activation that is to end because of its slot.
#[derive(Debug)]
pub(crate) struct Departing {
    pub(crate) actor: ActorId,
    /// Its key, encoded.
    pub(crate) key: Vec<u8>,
    pub(crate) departure: Arc<Departure>,
}

impl Departing {
    /// Takes the state that goes along, AFTER the activation has ended.
    pub(crate) fn take_state(self) -> Option<Parcel> {
        if !self.departure.goes() {
            return None;
        }
        let (key, state) = (self.key, self.departure.take()?);
        Some(Parcel::State { key, state })
    }
}
