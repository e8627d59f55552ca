//! Makes actors and services live on a node, and refs to them.

use std::{any::Any, fmt, marker::PhantomData, sync::Arc, time::Duration};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, InterfaceId, MethodId},
    supervision::Strategy,
};
use futures_util::future::BoxFuture;

use crate::{
    actor::{Cell, Child, Ended, Guardian, MessageKey, Refusal, Settings},
    call::{
        Address, Arrival, Coming, Definition, Face, Hosted, Hub, Incoming, Interface, Keys, Kind,
        Meta, Queued, Ref, Reference, Supervised, Unaccepted, interface_id, refused,
    },
};

use super::{
    Handlers,
    instance::{Bound, Factory, ItemOf, OnEnd, World, child},
    surroundings::NodeSurroundings,
};

/// The interface that a definition's refs point at.
pub(in crate::service) type FaceOf<T> = <<T as Definition>::Ref as Reference>::Interface;

/// Returns the ref of a service as used from this node.
pub(crate) fn service_ref<T: Definition>(hub: &Arc<Hub>) -> T::Ref {
    T::Ref::from_raw(Ref::<FaceOf<T>>::new(Address::Service, hub.clone(), None))
}

/// Returns the ref of a service on one node alone, where it is hosted under a number.
pub(crate) fn service_ref_at<T: Definition>(hub: &Arc<Hub>, addr: ActorAddr) -> T::Ref {
    let raw = Ref::<FaceOf<T>>::new(Address::Spawned(addr), hub.clone(), None);
    T::Ref::from_raw(raw.attached(hub.clone()))
}

/// Returns the ref of a keyed actor as used from this node.
pub(crate) fn keyed_ref<T: Definition>(hub: &Arc<Hub>, key: T::Key) -> T::Ref {
    T::Ref::from_raw(Ref::<FaceOf<T>>::new(
        Address::Keyed(key),
        hub.clone(),
        None,
    ))
}

/// Makes a guardian of this node.
pub(crate) fn guardian(hub: &Arc<Hub>, strategy: Strategy) -> Guardian {
    let surroundings = Arc::new(NodeSurroundings(hub.clone()));
    Guardian::new(strategy, surroundings, hub.tasks().clone())
}

/// Spawns an actor without a key under a guardian.
pub(crate) fn spawn<T: Handlers>(
    hub: &Arc<Hub>,
    guardian: &Guardian,
    factory: Factory<T>,
) -> T::Ref {
    spawn_at(hub, guardian, factory, hub.new_address())
}

/// Spawns an actor without a key under a guardian, at an address that no other one has.
pub(crate) fn spawn_at<T: Handlers>(
    hub: &Arc<Hub>,
    guardian: &Guardian,
    factory: Factory<T>,
    addr: ActorAddr,
) -> T::Ref {
    let cell = new_cell::<T>(addr);
    let any: Arc<dyn Any + Send + Sync> = cell.clone();
    let raw = Ref::<FaceOf<T>>::new(Address::Spawned(addr), hub.clone(), Some(any));
    let this = T::Ref::from_raw(raw);
    let on_end = forget_when_ended(hub, addr);
    let world = World::new(
        hub.clone(),
        cell.clone(),
        this.clone(),
        factory,
        on_end,
        Bound::default(),
    );
    adopt(&world, guardian);
    this
}

/// Stops a spawned actor of this node, or the activation of a key, and takes either out of its
/// quarantine. Returns whether it was here.
pub(crate) async fn stop_actor<R: Reference>(hub: &Hub, target: &R, grace: Duration) -> bool {
    let host = hub.host(interface_id::<R::Interface>());
    let keys = || host.as_deref().and_then(Hosted::keys);
    let actor = match R::as_raw(target).address() {
        Address::Spawned(addr) => hub.is_mine(addr).then_some(addr.actor),
        Address::Keyed(key) => keys().and_then(|keys| keys.find(key)),
        Address::Service => None,
    };
    let Some(actor) = actor else {
        return false;
    };
    if !end_actor(hub, actor, grace).await {
        return false;
    }
    // One that was given up has ended before, and still has its key.
    if let Some(keys) = keys() {
        keys.forget(R::key(target), actor);
    }
    true
}

/// Ends an actor of this node; returns whether it was here.
pub(crate) async fn end_actor(hub: &Hub, actor: ActorId, grace: Duration) -> bool {
    let Some((guardian, child)) = hub.actor(actor).and_then(|it| it.supervised()) else {
        return false;
    };
    guardian.stop_child(&child, grace).await;
    hub.remove_actor(actor);
    true
}

/// Starts hosting a service.
///
/// # Errors
/// What [`Hub::face`] says, or `ConfigInvalid` for a second host of one interface.
pub(crate) fn host_service<T: Handlers>(
    hub: &Arc<Hub>,
    guardian: &Guardian,
    factory: Factory<T>,
) -> Result<(), CallError> {
    host_cell::<T>(hub, guardian, factory).map(drop)
}

/// Starts hosting a service that can also be reached on this node alone, under a number that no
/// spawned actor has.
///
/// # Errors
/// As [`host_service`].
pub(crate) fn host_service_at<T: Handlers>(
    hub: &Arc<Hub>,
    guardian: &Guardian,
    factory: Factory<T>,
    actor: ActorId,
) -> Result<(), CallError> {
    let host = host_cell::<T>(hub, guardian, factory)?;
    hub.add_actor(actor, host);
    Ok(())
}

fn host_cell<T: Handlers>(
    hub: &Arc<Hub>,
    guardian: &Guardian,
    factory: Factory<T>,
) -> Result<Arc<dyn Hosted>, CallError> {
    let face = hub.face::<T::Interface>()?;
    let cell = new_cell::<T>(hub.new_address());
    let raw = Ref::<FaceOf<T>>::new(Address::Service, hub.clone(), None);
    let this = T::Ref::from_raw(raw);
    let world = World::new(
        hub.clone(),
        cell.clone(),
        this,
        factory,
        withdraw_when_given_up(hub, face.id),
        Bound::default(),
    );
    let child = child(&world, true);
    let host = CellHost::<T::Interface> {
        door: Door {
            cell: cell.clone(),
            hub: hub.clone(),
            face: Ok(face.clone()),
        },
        supervised: (guardian.clone(), child.clone()),
    };
    guardian.adopt(child);
    let host: Arc<dyn Hosted> = Arc::new(host);
    if face.set_local(cell) && hub.set_host(face.id, host.clone()) {
        return Ok(host);
    }
    Err(CallError::new(
        Code::DuplicateInterface,
        format!("interface {}", face.name),
    ))
}

/// Starts the turns of an actor and makes it known by its number.
pub(super) fn adopt<T: Handlers>(world: &Arc<World<T>>, guardian: &Guardian) {
    let child = make_known(world, guardian);
    guardian.adopt(child);
}

/// Makes an actor known by its number, BEFORE it is adopted: one that ends at once is forgotten AFTER that.
/// Returns what its guardian is to adopt.
pub(super) fn make_known<T: Handlers>(
    world: &Arc<World<T>>,
    guardian: &Guardian,
) -> Arc<dyn Child> {
    let child = child(world, false);
    let host = CellHost::<T::Interface> {
        door: Door {
            cell: world.cell.clone(),
            hub: world.hub.clone(),
            face: world.hub.face::<T::Interface>(),
        },
        supervised: (guardian.clone(), child.clone()),
    };
    world.hub.add_actor(world.cell.addr().actor, Arc::new(host));
    child
}

/// Makes the lasting part of an actor.
pub(super) fn new_cell<T: Handlers>(addr: ActorAddr) -> Arc<Cell<ItemOf<T>>> {
    let cell = Cell::new(addr, T::NAME, Kept::<T>::SETTINGS);
    let cell = cell.of_keyed(T::KIND == Kind::Keyed);
    Arc::new(cell.of_service(T::KIND == Kind::Service))
}

/// The settings of a definition in one place, for all of its actors.
struct Kept<T>(PhantomData<T>);

impl<T: Definition> Kept<T> {
    const SETTINGS: &'static Settings = &T::SETTINGS;
}

/// Withdraws a service that was given up, so that calls go to other hosts.
fn withdraw_when_given_up<T: Handlers>(hub: &Arc<Hub>, id: InterfaceId) -> OnEnd<T> {
    let hub = hub.clone();
    Arc::new(move |_, why| {
        if why.is_failure() {
            hub.withdraw(id);
        }
    })
}

/// Forgets an actor that was stopped. One that was given up stays known for its quarantine, so that
/// callers hear why.
fn forget_when_ended<T: Handlers>(hub: &Arc<Hub>, addr: ActorAddr) -> OnEnd<T> {
    let hub = hub.clone();
    Arc::new(move |_, why| {
        if !why.is_failure() {
            return hub.remove_actor(addr.actor);
        }
        let again = Arc::downgrade(&hub);
        hub.after_quarantine(move || {
            if let Some(hub) = again.upgrade() {
                hub.remove_actor(addr.actor);
            }
        });
    })
}

/// A cell that takes calls from the wire.
struct CellHost<I: Interface> {
    door: Door<I>,
    supervised: Supervised,
}

/// The way of a call from the wire into a cell.
pub(super) struct Door<I: Interface> {
    pub(super) cell: Arc<Cell<Queued<I::Msg>>>,
    pub(super) hub: Arc<Hub>,
    /// Looked up once; an interface that has none refuses its calls with the reason.
    pub(super) face: Result<Arc<Face>, CallError>,
}

impl<I: Interface> Door<I> {
    /// Decodes a call for its cell.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(super) fn open(
        &self,
        method: MethodId,
        incoming: Incoming<'_>,
        meta: Meta,
        arrival: &Arrival,
    ) -> Result<Queued<I::Msg>, CallError> {
        let index = I::METHODS.iter().position(|spec| spec.id == method);
        let Some((index, spec)) = index.and_then(|index| Some((index, I::METHODS.get(index)?)))
        else {
            return Err(unknown_method::<I>(&self.hub, method));
        };
        let face = self.face.as_ref().map_err(Clone::clone)?;
        face.method(index)?
            .permits(&meta.caller, &self.hub.me().name)?;
        let (deadline, now) = (meta.deadline, meta.queued_at);
        let left = deadline.saturating_since(now);
        let left = arrival.wants_reply().then_some(left);
        // BEFORE the arguments are decoded: a host that has too much to do must refuse cheaply.
        self.cell
            .admits(left, now)
            .map_err(|refusal| refused(spec, &self.hub, &self.cell, refusal))?;
        let message = I::open(index, incoming.of(face))?;
        Ok(Queued {
            meta,
            message,
            began: now,
            begins_by: self.cell.begins_by(deadline, left, now),
        })
    }

    /// Puts a call into the mailbox; returns it, and why it is not there, if the mailbox does not
    /// take it.
    pub(super) fn put(
        &self,
        queued: Queued<I::Msg>,
        arrival: &Arrival,
    ) -> Option<(Queued<I::Msg>, Refusal)> {
        if self.hub.env().plant.buggify("a-mailbox-is-full") {
            return Some((queued, Refusal::Full));
        }
        match self.cell.mailbox.push(queued) {
            Ok(key) => {
                arrival.queued(key);
                None
            }
            Err(refused) => Some(refused),
        }
    }

    /// Answers a call that the mailbox did not take.
    pub(super) fn refuse(&self, queued: Queued<I::Msg>, why: Refusal) {
        let index = I::index(&queued.message);
        if let Some(spec) = I::METHODS.get(index) {
            self.refuse_with(queued, refused(spec, &self.hub, &self.cell, why));
        }
    }

    /// Answers a call that the mailbox did not take with this error.
    pub(super) fn refuse_with(&self, queued: Queued<I::Msg>, error: CallError) {
        self.count_unrun(I::index(&queued.message), error.code());
        I::refuse(queued.message, error);
    }

    /// Counts a message of the method in this row that ended without a turn.
    fn count_unrun(&self, index: usize, code: Code) {
        let face = self.face.as_ref().ok();
        if let Some(method) = face.and_then(|face| face.methods.get(index)) {
            method.metrics.served().ended(Some(code), None);
        }
    }
}

impl<I: Interface> Hosted for CellHost<I> {
    fn accept(
        &self,
        method: MethodId,
        _: Option<&[u8]>,
        parts: &mut Option<Coming<'_>>,
        arrival: &Arrival,
    ) -> Result<(), Unaccepted> {
        let Some(coming) = parts.take() else {
            return Ok(());
        };
        let Coming { incoming, meta, .. } = coming;
        let queued = self.door.open(method, incoming, meta, arrival)?;
        if let Some((queued, why)) = self.door.put(queued, arrival) {
            self.door.refuse(queued, why);
        }
        Ok(())
    }

    fn withdraw(&self, message: MessageKey) {
        // The message is dropped here, AFTER the mailbox's lock was released.
        if let Some(queued) = self.door.cell.mailbox.remove(message) {
            self.door
                .count_unrun(I::index(&queued.message), Code::ActorStopped);
        }
    }

    fn interface(&self) -> InterfaceId {
        interface_id::<I>()
    }

    fn cell(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(self.door.cell.clone())
    }

    fn depth(&self) -> usize {
        self.door.cell.mailbox.len()
    }

    fn running(&self) -> usize {
        self.supervised.1.running()
    }

    fn is_full(&self) -> bool {
        let mailbox = &self.door.cell.mailbox;
        !mailbox.has_room() && !mailbox.is_closed()
    }

    fn name(&self) -> &'static str {
        self.door.cell.name()
    }

    fn supervised(&self) -> Option<Supervised> {
        Some(self.supervised.clone())
    }

    fn wait_ended(&self) -> BoxFuture<'static, Ended> {
        let cell = self.door.cell.clone();
        Box::pin(async move { cell.wait_ended().await })
    }

    fn keys(&self) -> Option<&dyn Keys> {
        None
    }
}

impl<I: Interface> fmt::Debug for CellHost<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CellHost")
            .field("name", &self.door.cell.name())
            .finish_non_exhaustive()
    }
}

pub(super) fn unknown_method<I: Interface>(hub: &Hub, method: MethodId) -> CallError {
    CallError::new(
        Code::UnknownMethod,
        format!("method {method} of {}", I::NAME),
    )
    .with_detail(format!("node {} has no such method", hub.me().name))
}
