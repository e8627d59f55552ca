//! The keyed actors of one type on this node: one activation for each key, made by its first call.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, InterfaceId, MethodId},
};
use futures_util::future::BoxFuture;

use crate::{
    actor::{Cell, Ended, Guardian, MessageKey},
    call::{
        Address, Arrival, Directory, Hosted, Hub, Incoming, Interface, Keys, Meta, Queued, Ref,
        Reference, Supervised, interface_id,
    },
};

use super::{
    Handlers,
    hosting::{FaceOf, adopt, new_cell},
    instance::{Factory, World},
};

type CellOf<T> = Arc<Cell<Queued<<<T as Handlers>::Interface as Interface>::Msg>>>;

/// The directory of one type's activations.
pub(crate) struct Activations<T: Handlers>(Arc<Inner<T>>);

struct Inner<T: Handlers> {
    hub: Arc<Hub>,
    guardian: Guardian,
    factory: Factory<T>,
    cells: Mutex<HashMap<T::Key, CellOf<T>>>,
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
        cells: Mutex::default(),
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
    fn activation(&self, key: &T::Key) -> Result<CellOf<T>, CallError> {
        let inner = &self.0;
        let mut cells = inner.cells();
        if let Some(cell) = cells.get(key) {
            let over = cell.mailbox.is_closed() && !cell.ended().is_some_and(Ended::is_failure);
            if !over {
                return Ok(cell.clone());
            }
        }
        if inner.hub.is_stopping() {
            return Err(CallError::new(
                Code::NodeStopping,
                format!("node {}", inner.hub.me().name),
            ));
        }
        if let Some(cell) = cells.get(key)
            && cell.is_stopping()
            && cell.ended().is_none()
        {
            // A second activation would run beside what the first one still runs.
            let subject = format!("{}({key:?})", T::NAME);
            return Err(CallError::new(Code::ActorStopped, subject)
                .with_detail("it is being stopped; a call after that activates it anew"));
        }
        let most = inner.hub.call_limits().activations_max;
        if cells.len() >= most && !cells.contains_key(key) {
            let detail = format!("the node holds {most} actors of this type, as many as it may");
            return Err(
                CallError::new(Code::MailboxFull, format!("{}({key:?})", T::NAME))
                    .with_detail(detail),
            );
        }
        let world = inner.activate(key);
        cells.insert(key.clone(), world.cell.clone());
        drop(cells);
        adopt(&world, &inner.guardian);
        Ok(world.cell.clone())
    }
}

impl<T: Handlers> Inner<T> {
    fn activate(self: &Arc<Self>, key: &T::Key) -> Arc<World<T>> {
        let (addr, cell) = new_cell::<T>(&self.hub, Some(T::SETTINGS.idle));
        let raw = Ref::<FaceOf<T>>::new(Address::Keyed(key.clone()), self.hub.clone(), None);
        let (owner, key) = (Arc::downgrade(self), key.clone());
        let on_end = Box::new(move |why: Ended| {
            let Some(inner) = owner.upgrade() else { return };
            if !why.is_failure() {
                return inner.forget(&key, addr);
            }
            let (owner, key) = (owner.clone(), key.clone());
            inner.hub.after_quarantine(move || {
                if let Some(inner) = owner.upgrade() {
                    inner.forget(&key, addr);
                }
            });
        });
        World::new(
            self.hub.clone(),
            cell,
            T::Ref::from_raw(raw),
            self.factory.clone(),
            on_end,
        )
    }

    /// Forgets an activation that has ended.
    fn forget(&self, key: &T::Key, addr: ActorAddr) {
        self.hub.remove_actor(addr.actor);
        let mut cells = self.cells();
        if cells.get(key).is_some_and(|cell| cell.addr() == addr) {
            cells.remove(key);
        }
    }

    fn cells(&self) -> MutexGuard<'_, HashMap<T::Key, CellOf<T>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Handlers> Hosted for Activations<T> {
    /// Keyed actors are reached on their own node only: a call from the wire has no slot table that
    /// says who owns the key, so it is refused rather than run on what may be a second activation.
    fn accept(
        &self,
        method: MethodId,
        _: Incoming<'_>,
        _: Meta,
        _: &Arrival,
    ) -> Result<(), CallError> {
        Err(CallError::new(
            Code::KeyedElsewhere,
            format!("method {method} of {}", T::NAME),
        ))
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
        self.0.cells().get(key).map(|cell| cell.addr().actor)
    }

    fn forget(&self, key: &dyn Any, actor: ActorId) {
        let Some(key) = key.downcast_ref::<T::Key>() else {
            return;
        };
        let addr = self.0.cells().get(key).map(|cell| cell.addr());
        if let Some(addr) = addr.filter(|addr| addr.actor == actor) {
            self.0.forget(key, addr);
        }
    }
}

impl<T: Handlers> fmt::Debug for Activations<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activations")
            .field("type", &T::NAME)
            .finish_non_exhaustive()
    }
}
