//! A node: the one place where the parts are joined.
//!
//! [`Node::builder`] takes what a node is made of, see `builder`; [`Builder::start`] opens its port,
//! starts what it hosts and joins its seeds. A node is a value: several can live in one process.

mod builder;
mod pulse;

pub use builder::Builder;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use callboard_protocol::{
    id::{ClusterId, Incarnation, NodeId},
    slots::{Entry, SlotId},
    supervision::Strategy,
};
use tokio::time::Instant;

use crate::{
    actor::Guardian,
    admin::{self, AdminRef, Desk},
    call::{
        Definition, Hub, Reference,
        kind::{CanBeSpawned, ReachedByKey, ReachedByType},
    },
    cluster::{Cluster, DrainError, Draining, Position},
    data_dir::DataDir,
    net::{DenyList, Identity, Net, StartError},
    service::{Ctx, Handlers, Supervisor, hosting},
    telemetry::ControlSample,
};

/// One member of a cluster.
///
/// Dropping it without [`Node::stop`] ends its tasks at their next await: what is in flight is lost
/// and peers notice by their timers. It lives on the runtime that it was started on. When that ends before it, the same
/// happens, and calls through it, from another runtime, end at once with `NodeStopping`.
pub struct Node {
    hub: Arc<Hub>,
    net: Arc<Net>,
    guardian: Guardian,
    grace: Duration,
    cluster: Arc<Cluster>,
    /// What the admin is answered from.
    desk: Arc<Desk>,
    _data_dir: Option<Arc<Mutex<DataDir>>>,
}

/// A member of the cluster as another sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The hash of its name.
    pub id: NodeId,
    /// Its name, from its certificate.
    pub name: String,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Which of its lives it is in.
    pub incarnation: Incarnation,
}

impl Node {
    /// Begins to build a node that listens on a free port of loopback, with an identity of the
    /// development authority, and hosts nothing.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns the id: the hash of the name.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.hub.me().id
    }

    /// Returns the name, which is the certificate's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.hub.me().name
    }

    /// Returns the address that the node's port is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.net.local_addr()
    }

    /// Returns the ref of a service. Calls through it go to this node if it hosts the service,
    /// otherwise to the less loaded of two hosts drawn at random.
    #[must_use]
    pub fn service<T: Definition<Addressing: ReachedByType<T>>>(&self) -> T::Ref {
        hosting::service_ref::<T>(&self.hub)
    }

    /// Returns the ref of the actor with this key. It does not activate it.
    #[must_use]
    pub fn actor<T: Definition<Addressing: ReachedByKey<T>>>(
        &self,
        key: impl Into<<T::Addressing as ReachedByKey<T>>::Key>,
    ) -> T::Ref {
        hosting::keyed_ref::<T>(&self.hub, key.into().into())
    }

    /// Spawns an actor that starts from `Default`. A panic restarts it, by its settings; it lives
    /// until it is stopped, also when no ref is left.
    pub fn spawn<T: Handlers<Addressing: CanBeSpawned<T>> + Default>(&self) -> T::Ref {
        self.spawn_with(|_: &Ctx<T>| T::default())
    }

    /// Spawns an actor that starts from what `make` returns; `make` runs again for each restart.
    pub fn spawn_with<T: Handlers<Addressing: CanBeSpawned<T>>>(
        &self,
        make: impl Fn(&Ctx<T>) -> T + Send + Sync + 'static,
    ) -> T::Ref {
        hosting::spawn::<T>(&self.hub, &self.guardian, Arc::new(make))
    }

    /// Makes a group of actors with a restart strategy of its own. It ends with the node.
    #[must_use]
    pub fn supervisor(&self, strategy: Strategy) -> Supervisor {
        Supervisor::new(
            self.hub.clone(),
            self.hub.new_group(hosting::guardian(&self.hub, strategy)),
        )
    }

    /// Stops an actor of this node: its children first, then what waits in its mailbox runs; what is
    /// left after `grace` is dropped. Returns whether it was here.
    ///
    /// Calls of a key get `ActorStopped` while its activation stops; the next one after that
    /// activates it anew. An actor that was given up leaves its quarantine: a spawned one is
    /// forgotten, a key can be called again. A service cannot be stopped apart from its node.
    ///
    /// # Cancel safety
    /// Dropped in the middle, the actor has stopped taking calls and may not have ended.
    pub async fn stop_actor<R: Reference>(&self, target: &R, grace: Duration) -> bool {
        hosting::stop_actor(&self.hub, target, grace).await
    }

    /// Returns the ref of the [admin service](crate::admin) of one node alone: of a member, or of this
    /// node by its own name. A ref of any node's is `service::<Admin>()`.
    #[must_use]
    pub fn admin(&self, of: &Member) -> AdminRef {
        admin::of_node(&self.hub, of.id, of.incarnation)
    }

    /// Attaches a ref that was decoded outside a call to this node.
    #[must_use]
    pub fn attach<R: Reference>(&self, target: R) -> R {
        R::from_raw(R::as_raw(&target).clone().attached(self.hub.clone()))
    }

    /// Returns the other members that a link is up with, in the order of their ids.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        members(&self.net)
    }

    /// Returns which cluster this node belongs to, for good. Nothing for one that has neither formed a
    /// cluster nor met one that was formed.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster.status().cluster
    }

    /// Returns which node leads the control group of the cluster, as far as this node knows. It may
    /// have been lost since.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.cluster.status().leader
    }

    /// Returns whether this node votes in the control group of the cluster, as far as it knows. A cluster
    /// that was formed a moment ago has one voter, and gives the others their seats as soon as they have
    /// its log; until then it does not survive the loss of that one.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.cluster.status().votes
    }

    /// Waits until this node is a member of the cluster and holds a lease. A node that neither forms
    /// a cluster nor meets one that was formed never is.
    ///
    /// # Errors
    /// After `within`, [`StartError`] by the code of what keeps it: `NotJoined`; `ClusterMismatch` if
    /// it belongs to another cluster than the nodes that it is linked with; `ConfigInvalid` if they
    /// expect another number of nodes to form one; `Io` or `LogUnreadable` for its data folder. The
    /// node tries on.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn joined(&self, within: Duration) -> Result<(), StartError> {
        self.cluster.joined(within).await
    }

    /// Shows another identity in the handshakes that begin from now on, and trusts whom it trusts:
    /// for a new key, a new certificate or a new authority. Links that are up stay, with the roles
    /// that they began with.
    ///
    /// # Errors
    /// [`StartError`] by code: `CertificateInvalid` if it has another cluster, kind or name, or does
    /// not fit its key; `DevNotLoopback`. Nothing was changed.
    pub fn rotate(&self, identity: &Identity) -> Result<(), StartError> {
        self.net.rotate(identity)
    }

    /// Denies the nodes and clients on the list, and no others: links with them are closed at
    /// once, and no new ones come up. Both sides are told `PeerDenied`. The list replaces the last one
    /// and is kept nowhere else; give it to the builder when it has to hold from the start.
    pub fn deny(&self, list: DenyList) {
        self.net.deny(list);
    }

    /// Returns the metrics in the OpenMetrics text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let status = self.cluster.status();
        self.hub.metrics().set_control(&ControlSample {
            term: status.term,
            is_leader: status.is_leader,
            applied: status.applied,
            voters: status.voters.len() as u64,
            sync: status.sync,
            lease_left: status
                .lease_until
                .map_or(Duration::ZERO, |it| it - self.hub.lease_now()),
        });
        crate::usage::metrics(&self.hub, &self.net)
    }

    /// Returns how much is held of everything that has a bound. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn usage(&self) -> Vec<crate::usage::Held> {
        crate::usage::usage(&self.hub, &self.net)
    }

    /// Returns how this node stands in its cluster. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn position(&self) -> Position {
        self.cluster.position(self.hub.lease_now())
    }

    /// Returns what this node knows of all slots, in order. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn entries(&self) -> Vec<(SlotId, Entry)> {
        self.cluster.entries()
    }

    /// Returns how many messages wait in each mailbox. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn mailboxes(&self) -> Vec<(String, u64)> {
        crate::usage::mailboxes(&self.hub)
    }

    /// Drains the node, so that it can be stopped without a failed call: gives away the leadership of the
    /// control group and its seat in it, then its slots, one after the other, at the rate that
    /// the cluster's settings say (200 a second); then tells peers and clients to call its services elsewhere,
    /// waits until they have taken that in (a second at most) and until no call of a service waits or runs here (for
    /// the node's grace at most), and leaves the cluster. Streams and calls of spawned actors that are in flight end
    /// in [`stop`](Self::stop), which is the next thing to call. How far it is says [`draining`](Self::draining).
    ///
    /// The node may start again, also with the same data folder: it joins as the same node, under a
    /// higher incarnation, and gets slots again. A node that has no part in a cluster only has its
    /// services called elsewhere.
    ///
    /// # Errors
    /// [`DrainError::OnlyMember`]: there is nobody to take over; nothing was changed.
    /// [`DrainError::NoLeader`] and [`DrainError::LimitPassed`]: `within` has passed. The node answers
    /// for what it still has, and gets nothing new. Drain it again, or stop it: the others take over
    /// what it has then.
    ///
    /// # Cancel safety
    /// Dropping it only ends the wait: the node goes on giving away. Call it again to wait on.
    pub async fn drain(&self, within: Duration) -> Result<(), DrainError> {
        self.desk.drain(within).await
    }

    /// Returns how far the node is drained; nothing if it is not to be.
    #[must_use]
    pub fn draining(&self) -> Option<Draining> {
        self.cluster.draining()
    }

    /// Stops the node: it tells its peers, takes no new calls, runs what waits in its mailboxes, and
    /// closes its links. What is left after the grace period is dropped, and told of in the log. Default 10 s. A
    /// handler that does not await cannot be dropped: this goes on without it, a second later, and the process ends
    /// when the handler returns.
    ///
    /// A member of a cluster then says that this life of it is over, so that others get its slots without
    /// waiting until its lease has ended. It acts on nothing any more: its turns have ended, and one that
    /// cannot be ended lets nothing out, as the lease is given up first. Calls of its keys wait
    /// for the next owner. To have them wait no longer than a move takes, [`drain`](Self::drain) it
    /// before.
    ///
    /// # Cancel safety
    /// Dropped in the middle, the node is stopping and its links may still be open.
    pub async fn stop(self) {
        if self.hub.is_adrift() {
            return;
        }
        let deadline = Instant::now() + self.grace;
        // BEFORE calls are refused: peers choose other nodes from now on.
        self.net.leave().await;
        self.hub.set_stopping();
        let left = || deadline.saturating_duration_since(Instant::now());
        for group in self.hub.take_groups() {
            group.stop(left()).await;
        }
        self.guardian.stop(left()).await;
        // AFTER the last turn.
        self.cluster.end(END_MAX).await;
        self.net.close("the node is stopping", left()).await;
        self.hub.shut().await;
    }
}

pub(crate) fn members(net: &Net) -> Vec<Member> {
    net.members()
        .into_iter()
        .map(|info| Member {
            id: info.id,
            name: info.name.to_string(),
            addr: info.addr,
            incarnation: info.incarnation,
        })
        .collect()
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.hub.is_stopping() {
            tracing::warn!(
                node = self.name(),
                "the node was dropped without `stop`: calls in flight are lost, and peers wait for it until their \
                 timers end; call `node.stop().await` before, and keep the node until then"
            );
        }
        for group in self.hub.take_groups() {
            group.kill();
        }
        self.guardian.kill();
        self.hub.end();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.name())
            .field("addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}

/// How long a node that stops waits for an answer: as long as another leader takes at most, `wan`
/// aside. Without one its lease has to end.
const END_MAX: Duration = Duration::from_millis(1500);
