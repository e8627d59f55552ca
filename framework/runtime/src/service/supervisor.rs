//! A group of actors with a strategy of its own.

use std::{sync::Arc, time::Duration};

use crate::{
    actor::Guardian,
    call::{Hub, NoKey},
};

use super::{Ctx, Handlers, hosting};

/// A group of spawned actors that are restarted together or apart, by its strategy.
///
/// Each child's restart intensity and backoff are those of its definition. Clones are handles to
/// the same group.
#[derive(Clone, Debug)]
pub struct Supervisor {
    hub: Arc<Hub>,
    guardian: Guardian,
}

impl Supervisor {
    pub(crate) fn new(hub: Arc<Hub>, guardian: Guardian) -> Self {
        Self { hub, guardian }
    }

    /// Spawns a child that starts from `Default`.
    pub fn spawn<T: Handlers<Key = NoKey> + Default>(&self) -> T::Ref {
        self.spawn_with(|_: &Ctx<T>| T::default())
    }

    /// Spawns a child that starts from what `make` returns; `make` runs again for each restart.
    pub fn spawn_with<T: Handlers<Key = NoKey>>(
        &self,
        make: impl Fn(&Ctx<T>) -> T + Send + Sync + 'static,
    ) -> T::Ref {
        hosting::spawn::<T>(&self.hub, &self.guardian, Arc::new(make))
    }

    /// Stops all children, the youngest first. Each runs what waits in its mailbox; what is left
    /// after `grace` is dropped and answered `ActorStopped` or `TurnAborted`.
    ///
    /// # Cancel safety
    /// Dropped in the middle, some children have stopped; call it again for the rest.
    pub async fn stop(&self, grace: Duration) {
        self.guardian.stop(grace).await;
    }
}
