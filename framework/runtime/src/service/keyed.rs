//! The keyed actors of one type on this node: one activation for each key, made by its first call.

use std::{
    any::Any,
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, InterfaceId, MethodId},
    slots::{Entry, Epoch, Lack, Owner, SequenceNumber, Slot, SlotId},
};
use futures_util::future::BoxFuture;

use crate::{
    actor::{Ended, Guardian, MessageKey, Refusal},
    call::{
        Address, Arrival, Coming, Departing, Departure, Directory, Eviction, Face, Hosted, Hub,
        InMemory, Kept, Keys, Lost, Ref, Reference, Supervised, Unaccepted, decode_key, fence,
        interface_id, key_bytes, key_of_text,
    },
    cluster::{Fence, Site, group_of},
    env::Bug,
};

use super::{
    Handlers,
    cells::{Activation, CellOf, Cells},
    hosting::{Door, FaceOf, make_known, new_cell},
    instance::{Bound, Factory, OnEnd, World},
};

mod along;

/// The directory of one type's activations.
pub(crate) struct Activations<T: Handlers>(Arc<Inner<T>>);

struct Inner<T: Handlers> {
    hub: Arc<Hub>,
    guardian: Guardian,
    factory: Factory<T>,
    /// Which holds this directory.
    face: Weak<Face>,
    /// Made with the first activation.
    on_end: OnceLock<OnEnd<T>>,
    cells: Mutex<Cells<T>>,
}

/// Starts hosting a keyed actor type.
///
/// # Errors
/// What [`Hub::face`] says, or `DuplicateInterface`.
pub(crate) fn host_keyed<T: Handlers>(
    hub: &Arc<Hub>,
    guardian: &Guardian,
    factory: Factory<T>,
) -> Result<(), CallError> {
    let face = hub.face::<T::Interface>()?;
    let inner = Inner {
        hub: hub.clone(),
        guardian: guardian.clone(),
        factory,
        face: Arc::downgrade(&face),
        on_end: OnceLock::new(),
        cells: Mutex::new(Cells::new()),
    };
    let activations = Activations::<T>(Arc::new(inner));
    let directory: Arc<dyn Directory<T::Interface>> = Arc::new(Activations(activations.0.clone()));
    if face.set_local(Arc::new(directory)) && hub.set_host(face.id, Arc::new(activations)) {
        return Ok(());
    }
    Err(CallError::new(
        Code::DuplicateInterface,
        format!("interface {}", face.name),
    ))
}

impl<T: Handlers> Directory<T::Interface> for Activations<T> {
    fn activation(&self, key: &T::Key, fence: Option<&Fence>) -> Result<CellOf<T>, CallError> {
        let inner = &self.0;
        let slot = fence.map(|fence| fence.id().slot);
        let mut cells = inner.cells();
        let before = cells.get(None, key).filter(|_| slot.is_some());
        if before.is_some_and(|it| it.cell().ended().is_none()) {
            return Err(inner.moved(
                key,
                "an activation of before there was a control group ends first",
            ));
        }
        if let Some(known) = cells.get(slot, key) {
            let cell = known.cell();
            let epochs = (known.fence().map(Fence::epoch), fence.map(Fence::epoch));
            if epochs.0 != epochs.1 && cell.ended().is_none() {
                // Another node may have had the slot since: its state is not to be used.
                return Err(inner.moved(key, "an earlier activation of it ends first"));
            }
            let over = cell.mailbox.is_closed() && !cell.ended().is_some_and(Ended::is_failure);
            if !over {
                return Ok(cell.clone());
            }
        }
        if inner.hub.is_stopping() {
            return Err(inner.stopping());
        }
        // Under the lock, and AFTER the look at the view: whoever ends the activations of a slot that
        // has gone takes the lock after the view has changed, and finds this one.
        if fence.is_some_and(|fence| !inner.may_start(fence)) {
            return Err(inner.moved(key, "its slot has just gone"));
        }
        if let Some(cell) = cells.get(slot, key).map(Activation::cell)
            && cell.is_stopping()
            && cell.ended().is_none()
        {
            if fence.is_some_and(|fence| !inner.may_start(fence)) {
                return Err(inner.moved(key, "its slot has just gone"));
            }
            // A second activation would run beside what the first one still runs.
            let subject = format!("{}({key:?})", T::NAME);
            return Err(CallError::new(Code::ActorStopped, subject)
                .with_detail("it is being stopped; a call after that activates it anew"));
        }
        if fence.is_some_and(|fence| inner.bars(&mut cells, fence)) {
            return Err(inner.moved(key, "what goes along with its slot is on its way"));
        }
        if cells.get(slot, key).is_none() {
            inner.make_room(&mut cells, key)?;
        }
        let state = fence.and_then(|fence| cells.came(fence, key));
        let departure = Arc::new(Departure::new(state));
        let world = inner.activate(key, fence.cloned(), departure);
        // It is in use from now on, and not only from its first turn.
        world.cell.begins(None, inner.hub.now());
        let activation = Activation::new(world.clone());
        // BEFORE it can be found: whoever ends it stops it by its number.
        let child = make_known(&world, &inner.guardian);
        // BEFORE anybody else can put anything into its mailbox.
        if let Some(fence) = fence.filter(|it| cells.passing.has(it.id().slot)) {
            inner.run_first(&mut cells, fence, key, &world.cell);
        }
        cells.insert(slot, key.clone(), activation);
        drop(cells);
        inner.guardian.adopt(child);
        Ok(world.cell.clone())
    }
}

impl<T: Handlers> Inner<T> {
    fn activate(
        self: &Arc<Self>,
        key: &T::Key,
        fence: Option<Fence>,
        departure: Arc<Departure>,
    ) -> Arc<World<T>> {
        let cell = new_cell::<T>(self.hub.new_address());
        let raw = Ref::<FaceOf<T>>::new(Address::Keyed(key.clone()), self.hub.clone(), None);
        World::new(
            self.hub.clone(),
            cell,
            T::Ref::from_raw(raw),
            self.factory.clone(),
            self.on_end.get_or_init(|| self.forgets()).clone(),
            Bound { fence, departure },
        )
    }

    /// Makes what forgets an activation that will not run again; one that was given up after its quarantine.
    fn forgets(self: &Arc<Self>) -> OnEnd<T> {
        let owner = Arc::downgrade(self);
        Arc::new(move |world, why| {
            let Some(inner) = owner.upgrade() else { return };
            let slot = world.fence().map(|fence| fence.id().slot);
            let (key, addr) = (T::Ref::key(&world.this), world.cell.addr());
            if !why.is_failure() {
                return inner.forget(slot, key, addr);
            }
            let (owner, key) = (owner.clone(), key.clone());
            inner.hub.after_quarantine(move || {
                if let Some(inner) = owner.upgrade() {
                    inner.forget(slot, &key, addr);
                }
            });
        })
    }

    /// Has an activation that nobody uses go, if there are as many as there may be.
    ///
    /// # Errors
    /// `MailboxFull`: none may go.
    fn make_room(&self, cells: &mut Cells<T>, key: &T::Key) -> Result<(), CallError> {
        let limits = self.hub.call_limits();
        let most = limits.activations_max;
        if cells.staying() < most {
            return Ok(());
        }
        let why = match limits.eviction {
            Eviction::Never => "none of them goes before its idle time is over",
            Eviction::Idle if cells.leaving() >= most.min(LEAVING_MAX) => {
                "those that make room have not ended yet"
            }
            Eviction::Idle if cells.evict() => {
                self.hub.metrics().evicted(T::NAME);
                return Ok(());
            }
            Eviction::Idle => "none was found that has nothing to do",
        };
        let detail =
            format!("the node holds {most} actors of this type, as many as it may, and {why}");
        let subject = format!("{}({key:?})", T::NAME);
        Err(CallError::new(Code::MailboxFull, subject).with_detail(detail))
    }

    fn may_start(&self, fence: &Fence) -> bool {
        fence.may_start(self.hub.lease_now()) || self.hub.env().plant.strikes(Bug::EarlyStart)
    }

    /// Returns whether a key of the slot must not be activated now, AFTER taking in what is known of it:
    /// whoever does that after each change may come later than this call.
    fn bars(&self, cells: &mut Cells<T>, fence: &Fence) -> bool {
        let slot = fence.id().slot;
        if cells.passing.bars(slot) {
            let (me, entry) = fence.place();
            let lost = cells.passing.settle(fence.id(), me, &entry);
            self.hub.count_lost(lost);
        }
        cells.passing.bars(slot)
    }

    /// Returns the slot of a key, where keys are placed.
    fn slot_of(&self, key: &T::Key) -> Option<Slot> {
        let ownership = self.hub.ownership()?;
        let (id, ..) =
            ownership.locate(group_of(interface_id::<T::Interface>()), &key_bytes(key)?)?;
        Some(id.slot)
    }

    fn stopping(&self) -> CallError {
        CallError::new(Code::NodeStopping, format!("node {}", self.hub.me().name))
            .with_detail(self.hub.over().unwrap_or_default())
    }

    fn moved(&self, key: &T::Key, why: &str) -> CallError {
        CallError::new(Code::Moved, format!("{}({key:?})", T::NAME))
            .with_detail(format!("{why}, on node {}", self.hub.me().name))
    }

    /// Decodes the key that a call of a peer is for, and binds the call to its slot.
    ///
    /// # Errors
    /// `KeyedElsewhere`, `Moved`, and what decoding says.
    fn called(&self, face: &Face, key: &[u8]) -> Result<(T::Key, Fence), CallError> {
        let Some(ownership) = self.hub.ownership() else {
            // No table says who owns the key: here might be a second activation of it.
            let subject = format!("actor {} on node {}", T::NAME, self.hub.me().name);
            return Err(CallError::new(Code::KeyedElsewhere, subject)
                .with_detail("no control group places keys there"));
        };
        let fence = fence(&self.hub, ownership, face, key)?;
        Ok((decode_key::<T::Key>(key, &self.hub, T::NAME)?, fence))
    }

    /// Forgets an activation that has ended.
    fn forget(&self, slot: Option<Slot>, key: &T::Key, addr: ActorAddr) {
        self.hub.remove_actor(addr.actor);
        self.cells().remove(slot, key, addr);
    }

    fn cells(&self) -> MutexGuard<'_, Cells<T>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Handlers> Hosted for Activations<T> {
    fn accept(
        &self,
        method: MethodId,
        key: Option<&[u8]>,
        parts: &mut Option<Coming<'_>>,
        arrival: &Arrival,
    ) -> Result<(), Unaccepted> {
        let inner = &self.0;
        let face = inner.face.upgrade().ok_or_else(|| inner.stopping())?;
        let bytes = key.unwrap_or_default();
        let found = inner.called(&face, bytes).and_then(|(key, fence)| {
            let cell = self.activation(&key, Some(&fence))?;
            Ok((key, fence, cell))
        });
        let (key, fence, cell) = match found {
            Ok(found) => found,
            Err(error) if error.code() == Code::Moved && !arrival.wants_reply() => {
                return inner.put_off(&face, (bytes, method), error, parts);
            }
            Err(error) => return Err(error.into()),
        };
        inner.may_go_on((&fence, &cell), parts, arrival.wants_reply())?;
        let host = |cell| Door::<T::Interface> {
            cell,
            hub: inner.hub.clone(),
            face: Ok(face.clone()),
        };
        let coming = parts.take().ok_or_else(|| inner.stopping())?;
        let Coming { incoming, meta, .. } = coming;
        let mut at = host(cell);
        let mut queued = at.open(method, incoming, meta, arrival)?;
        loop {
            let Some((back, refusal)) = at.put(queued, arrival) else {
                return Ok(());
            };
            // It ended in the very moment of the call; one that failed says so.
            if refusal != Refusal::Closed || at.cell.ended().is_some_and(Ended::is_failure) {
                at.refuse(back, refusal);
                return Ok(());
            }
            match self.activation(&key, Some(&fence)) {
                Ok(cell) => (at, queued) = (host(cell), back),
                Err(error) => {
                    inner.take_along(&face, (bytes, &fence), back, error);
                    return Ok(());
                }
            }
        }
    }

    fn withdraw(&self, _: MessageKey) {
        // It puts nothing into a mailbox.
    }

    fn interface(&self) -> InterfaceId {
        interface_id::<T::Interface>()
    }

    fn cell(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        None
    }

    fn depth(&self) -> usize {
        0
    }

    fn running(&self) -> usize {
        0
    }

    fn is_full(&self) -> bool {
        false
    }

    fn name(&self) -> &'static str {
        T::NAME
    }

    fn supervised(&self) -> Option<Supervised> {
        None
    }

    fn wait_ended(&self) -> BoxFuture<'static, Ended> {
        Box::pin(std::future::pending())
    }

    fn keys(&self) -> Option<&dyn Keys> {
        Some(self)
    }
}

impl<T: Handlers> Keys for Activations<T> {
    fn find(&self, key: &dyn Any) -> Option<ActorId> {
        let key = key.downcast_ref::<T::Key>()?;
        let slot = self.0.slot_of(key);
        let cells = self.0.cells();
        cells.find(key, slot).map(|(_, it)| it.cell().addr().actor)
    }

    fn forget(&self, key: &dyn Any, actor: ActorId) {
        let Some(key) = key.downcast_ref::<T::Key>() else {
            return;
        };
        let slot = self.0.slot_of(key);
        let found = {
            let cells = self.0.cells();
            cells
                .find(key, slot)
                .map(|(slot, it)| (slot, it.cell().addr()))
        };
        if let Some((slot, addr)) = found.filter(|(_, addr)| addr.actor == actor) {
            self.0.forget(slot, key, addr);
        }
    }

    fn key_of_text(&self, text: &str) -> Result<Vec<u8>, String> {
        key_of_text::<T::Key>(text)
    }

    fn in_memory(&self, key: &[u8]) -> Result<Option<InMemory>, CallError> {
        let key = decode_key::<T::Key>(key, &self.0.hub, T::NAME)?;
        let slot = self.0.slot_of(&key);
        let cells = self.0.cells();
        Ok(cells.find(&key, slot).map(|(_, it)| it.in_memory()))
    }

    fn is_movable(&self) -> bool {
        T::SETTINGS.persist || T::handover().is_some()
    }

    fn lack(&self, site: &Site) -> Option<Lack> {
        site.lack(T::SETTINGS.role, T::SETTINGS.labels, T::SETTINGS.zones)
    }

    fn slots(&self) -> Vec<Slot> {
        let cells = self.0.cells();
        let active = cells.by_slot.keys().filter_map(|slot| *slot);
        let all: BTreeSet<Slot> = active.chain(cells.passing.slots()).collect();
        all.into_iter().collect()
    }

    fn unbound(&self) -> Vec<Departing> {
        let cells = self.0.cells();
        let told = cells.living(None).filter(|(_, it)| it.departure().tell());
        told.map(|(key, it)| it.departs(key)).collect()
    }

    fn lost(&self, slot: Slot) -> Vec<Departing> {
        let cells = self.0.cells();
        let is_over = |it: &Activation<T>| it.fence().is_some_and(|it| !it.is_held());
        let lost = cells.living(Some(slot));
        let lost = lost.filter(|(_, it)| is_over(it) && it.departure().tell());
        lost.map(|(key, it)| it.departs(key)).collect()
    }

    fn depart(&self, slot: Slot, epoch: Epoch) -> (Vec<Departing>, Vec<Kept>) {
        let mut cells = self.0.cells();
        let waiting = cells.passing.leave(slot, epoch);
        let living = cells.living(Some(slot));
        let departing = living.map(|(key, it)| {
            it.departure().tell();
            // One of an earlier epoch is not this slot's state any more.
            if it.fence().is_some_and(|it| it.epoch() == epoch) && self.is_movable() {
                it.departure().set_goes();
            }
            it.departs(key)
        });
        (departing.collect(), waiting)
    }

    fn late(&self, slot: Slot, epoch: Epoch, closes: bool) -> (Vec<Kept>, bool) {
        self.0.cells().passing.late(slot, epoch, closes)
    }

    fn left(&self, slot: Slot, back: Option<(Epoch, Vec<Kept>)>) -> Lost {
        self.0.cells().passing.left(slot, back)
    }

    fn settle(&self, id: SlotId, me: Owner, entry: &Entry) -> Lost {
        self.0.cells().passing.settle(id, me, entry)
    }

    fn take_in(
        &self,
        slot: Slot,
        by: (Owner, Epoch),
        sequence: SequenceNumber,
        kept: Kept,
    ) -> Option<SequenceNumber> {
        let mut cells = self.0.cells();
        cells.passing.take_in(slot, by, sequence, kept)
    }

    fn wake(&self, id: SlotId) -> bool {
        // A statement of its own, so that the lock is not held for what follows.
        let awaited = self.0.cells().passing.awaited(id.slot);
        let Some((epoch, keys)) = awaited.filter(|(_, keys)| !keys.is_empty()) else {
            return false;
        };
        let (hub, ownership) = (&self.0.hub, self.0.hub.ownership());
        let fence = ownership.map(|it| Fence::new(it.clone(), id, epoch));
        let Some(fence) = fence else { return false };
        let mut waits = false;
        for bytes in keys {
            let key = decode_key::<T::Key>(&bytes, hub, T::NAME);
            let error = match key.map(|key| self.activation(&key, Some(&fence))) {
                // One that was given up before takes nothing.
                Ok(Ok(_)) => CallError::new(Code::Quarantined, T::NAME),
                Ok(Err(_)) => {
                    waits = true;
                    continue;
                }
                Err(error) => error,
            };
            let sends = self.0.cells().passing.take_sends(id.slot, epoch, &bytes);
            sends.iter().for_each(|_| hub.refuse_send(&error));
        }
        waits
    }
}

impl<T: Handlers> fmt::Debug for Activations<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activations")
            .field("type", &T::NAME)
            .finish_non_exhaustive()
    }
}

/// How many activations may end at a time to make room. So many more than `activations_max` there are at most.
const LEAVING_MAX: usize = 256;

#[cfg(test)]
mod tests;
