//! How the state of a keyed actor goes along with its slot: to bytes, and back.
//!
//! The bytes begin with the fingerprint of the type, 8 bytes, so that a node whose type differs refuses them
//! instead of misreading them. Depends on `codec` and `forward`.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use callboard_protocol::{
    code::{CallError, Code},
    id::ActorId,
    slots::FORWARDED_MAX,
    time::Time,
    wire::{Wire, shape_of},
};

use super::{codec, forward::Kept, hub::Hub};

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

/// What an activation leaves to the next owner of its slot: its state, while nobody runs on it, which is also
/// where one lies that came with the slot until the actor begins; and the sends that had no turn.
#[derive(Debug, Default)]
pub(crate) struct Departure {
    /// It was told to end because of its slot.
    told: AtomicBool,
    /// Its state goes along.
    goes: AtomicBool,
    luggage: Mutex<Luggage>,
}

#[derive(Debug, Default)]
struct Luggage {
    state: Option<Vec<u8>>,
    /// Few activations have any.
    sends: Option<Box<Sends>>,
}

#[derive(Debug, Default)]
struct Sends {
    kept: Vec<Kept>,
    bytes: usize,
    /// They were taken: what comes now is too late.
    taken: bool,
}

impl Departure {
    /// Makes the one of an activation that begins with a state that came with its slot, or with none.
    pub(crate) fn new(state: Option<Vec<u8>>) -> Self {
        Self {
            luggage: Mutex::new(Luggage { state, sends: None }),
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
        self.luggage().state = Some(state);
    }

    /// Returns a copy of the state, which stays here until it is [taken](Self::take).
    pub(crate) fn copy(&self) -> Option<Vec<u8>> {
        self.luggage().state.clone()
    }

    /// Returns whether it was told to end because of its slot.
    pub(crate) fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Takes the state.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        self.luggage().state.take()
    }

    /// Leaves a send here that had no turn, behind those that were left before.
    ///
    /// # Errors
    /// Why it does not go along.
    pub(crate) fn leave(&self, send: Kept) -> Result<(), &'static str> {
        let mut luggage = self.luggage();
        let sends = luggage.sends.get_or_insert_default();
        let bytes = sends.bytes + send.bytes();
        if sends.taken {
            return Err("its turn was dropped at the limit, and what went along has gone");
        }
        if bytes > SENDS_BYTES_MAX || sends.kept.len() >= FORWARDED_MAX {
            return Err(NO_ROOM);
        }
        sends.bytes = bytes;
        sends.kept.push(send);
        Ok(())
    }

    fn take_sends(&self) -> Vec<Kept> {
        let mut luggage = self.luggage();
        let sends = luggage.sends.get_or_insert_default();
        sends.taken = true;
        std::mem::take(&mut sends.kept)
    }

    fn luggage(&self) -> MutexGuard<'_, Luggage> {
        self.luggage.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Takes what goes along, AFTER the activation has ended: its state, and the sends that had no turn.
    pub(crate) fn take(self, now: Time) -> (Option<Kept>, Vec<Kept>) {
        let sends = self.departure.take_sends();
        let goes = self.departure.goes();
        let state = goes.then(|| self.departure.take()).flatten();
        (state.map(|state| Kept::state(self.key, state, now)), sends)
    }
}

/// The most bytes of keys and arguments of the sends that go along with one slot.
pub(crate) const SENDS_BYTES_MAX: usize = 4 << 20;

/// Why a send does not go along that finds no room.
pub(crate) const NO_ROOM: &str = "as many sends go along with its slot as may";
