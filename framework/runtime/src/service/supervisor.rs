//! A group of actors with a strategy of its own.

use std::{sync::Arc, time::Duration};

use crate::{
    actor::Guardian,
    call::{
        Hub,
        kind::{Begins, CanBeSpawned, SpawnedHere},
    },
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
    pub fn spawn<T: Handlers<Addressing: CanBeSpawned<T> + SpawnedHere<T>> + Begins>(
        &self,
    ) -> T::Ref {
        self.spawn_with(|_: &Ctx<T>| T::begun())
    }

    /// Spawns a child that starts from what `make` returns; `make` runs again for each restart.
    pub fn spawn_with<T: Handlers<Addressing: CanBeSpawned<T> + SpawnedHere<T>>>(
        &self,
        make: impl Fn(&Ctx<T>) -> T + Send + Sync + 'static,
    ) -> T::Ref {
        hosting::spawn::<T>(&self.hub, &self.guardian, Arc::new(make))
    }

    /// Stops all children, the youngest first. Each runs what waits in its mailbox, and lets streams end that have a
    /// deadline; what is left after `grace` is dropped and answered `ActorStopped` or `TurnAborted`, and streams `StreamBroken`.
    ///
    /// # Cancel safety
    /// Dropped in the middle, some children have stopped; call it again for the rest.
    pub async fn stop(&self, grace: Duration) {
        self.guardian.stop(grace).await;
        self.hub.forget_stopped_groups();
    }
}

#[cfg(test)]
mod tests {
    use callboard_protocol::{
        id::{ClusterName, NodeName},
        supervision::Strategy,
        wire::hello::PeerKind,
    };

    use super::*;
    use crate::{Node, net::Authority};

    #[tokio::test]
    async fn a_group_that_was_stopped_is_forgotten() {
        let cluster = ClusterName::new("test").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let name = NodeName::new("n1").expect("a name");
        let identity = authority.issue(name, PeerKind::Node).expect("issued");
        let node = Node::builder().identity(identity).start().await;
        let node = node.expect("starts");
        let kept = node.supervisor(Strategy::OneForOne);
        for _ in 0..10 {
            let group = node.supervisor(Strategy::OneForAll);
            group.stop(Duration::from_secs(1)).await;
        }
        assert_eq!(kept.hub.take_groups().len(), 1);
        node.stop().await;
    }
}
