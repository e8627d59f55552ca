//! Makes the actors of a type that a node hosts and that is placed.
//!
//! Depends on `hosting`.

use std::{any::Any, fmt, sync::Arc};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, InterfaceId, MethodId},
};
use futures_util::future::BoxFuture;

use crate::{
    actor::{Ended, Guardian, MessageKey},
    call::{Arrival, Coming, Hosted, Hub, Keys, Nursery, Supervised, Unaccepted, interface_id},
    service::{Ctx, Handlers, hosting, instance::Factory},
};

/// What makes the actors of `T` on one node.
struct Actors<T: Handlers> {
    hub: Arc<Hub>,
    /// The node's own: its actors end with the node, and with nobody else.
    guardian: Guardian,
    factory: Factory<T>,
}

/// Starts hosting a type of actors that are placed.
///
/// # Errors
/// What [`Hub::face`] says, or `DuplicateInterface`.
pub(crate) fn host_placed<T: Handlers>(
    hub: &Arc<Hub>,
    guardian: &Guardian,
    factory: Factory<T>,
) -> Result<(), CallError> {
    let face = hub.face::<T::Interface>()?;
    let actors = Actors::<T> {
        hub: hub.clone(),
        guardian: guardian.clone(),
        factory,
    };
    match hub.set_host(face.id, Arc::new(actors)) {
        true => Ok(()),
        false => Err(CallError::new(
            Code::DuplicateInterface,
            format!("interface {}", face.name),
        )),
    }
}

impl<T: Handlers> Nursery for Actors<T> {
    fn make(&self) -> Result<ActorAddr, CallError> {
        let place = self.hub.take_place(T::NAME)?;
        let factory = self.factory.clone();
        // The place is free when the node has forgotten the actor, and with it what it is made by.
        let make = move |ctx: &Ctx<T>| {
            let _ = &place;
            factory(ctx)
        };
        let addr = self.hub.new_address();
        hosting::spawn_at::<T>(&self.hub, &self.guardian, Arc::new(make), addr);
        Ok(addr)
    }
}

impl<T: Handlers> Hosted for Actors<T> {
    fn accept(
        &self,
        _: MethodId,
        _: Option<&[u8]>,
        _: &mut Option<Coming<'_>>,
        _: &Arrival,
    ) -> Result<(), Unaccepted> {
        let error = self.hub.error_of(Code::NotHosted, T::NAME);
        Err(error
            .with_detail("its actors are called by their refs")
            .into())
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

    fn supervised(&self) -> Option<Supervised> {
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

    fn wait_ended(&self) -> BoxFuture<'static, Ended> {
        Box::pin(std::future::pending())
    }

    fn keys(&self) -> Option<&dyn Keys> {
        None
    }

    fn nursery(&self) -> Option<&dyn Nursery> {
        Some(self)
    }
}

impl<T: Handlers> fmt::Debug for Actors<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actors")
            .field("name", &T::NAME)
            .finish_non_exhaustive()
    }
}
