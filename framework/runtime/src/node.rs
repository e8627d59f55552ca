//! A node: the one place where the parts are joined.
//!
//! [`Node::builder`] takes what a node is made of, see `builder`; [`Builder::start`] opens its port,
//! starts what it hosts and joins its seeds. A node is a value: several can live in one process.

mod builder;
pub(crate) mod pulse;

pub use builder::Builder;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use callboard_protocol::{
    code::CallError,
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
        kind::{
            Begins, CanBeSpawned, KeyOf, PlacedByLoad, PlacedByName, ReachedByKey, ReachedByType,
            SpawnedHere,
        },
    },
    cluster::{Cluster, DrainError, Draining, Position},
    data_dir::DataDir,
    ending::Ending,
    net::{DenyList, Identity, Net, StartError},
    service::{
        ClaimError, Ctx, Handlers, HeldName, Spawning, Supervisor, hosting, naming, spawning,
    },
    telemetry::ControlSample,
};

/// One member of a cluster.
///
/// A clone is cheap, and is the same node: a task that works with the node takes one along. The node runs until one
/// of them is [stopped](Node::stop).
///
/// Dropping the last clone without that ends its tasks at their next await: what is in flight is lost
/// and peers notice by their timers. An actor that keeps a clone of its own node keeps the node: then only
/// [`Node::stop`] ends it. It lives on the runtime that it was started on. When that ends before it, the same
/// happens as when it is dropped, and calls through it, from another runtime, end at once with `NodeStopping`.
#[derive(Clone)]
pub struct Node(Arc<Running>);

/// What the clones of a node share, and nothing else holds: its drop is that of the last clone.
struct Running {
    hub: Arc<Hub>,
    net: Arc<Net>,
    guardian: Guardian,
    cluster: Arc<Cluster>,
    /// What the admin is answered from.
    desk: Arc<Desk>,
    /// Locked until the node has stopped.
    data_dir: Arc<Locked>,
    ending: Ending,
}

/// The data folder, of a node that has one and has not stopped.
type Locked = Mutex<Option<Arc<Mutex<DataDir>>>>;

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
    /// Joins the parts of a node that has started.
    fn running(guardian: Guardian, desk: Arc<Desk>, data_dir: Option<Arc<Mutex<DataDir>>>) -> Self {
        Self(Arc::new(Running {
            hub: desk.hub.clone(),
            net: desk.net.clone(),
            guardian,
            cluster: desk.cluster.clone(),
            data_dir: Arc::new(Mutex::new(data_dir)),
            ending: Ending::new(&format!("{}/end", desk.hub.me().name)),
            desk,
        }))
    }

    /// Begins to build a node that listens on a free port of loopback, with an identity of the
    /// development authority, and hosts nothing.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Returns the id: the hash of the name.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.0.hub.me().id
    }

    /// Returns the name, which is the certificate's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.hub.me().name
    }

    /// Returns the address that the node's port is bound to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.0.net.local_addr()
    }

    /// Returns the ref of a service. Calls through it go to this node if it hosts the service,
    /// otherwise to the less loaded of two hosts drawn at random.
    #[must_use]
    pub fn service<T: Definition<Addressing: ReachedByType<T>>>(&self) -> T::Ref {
        hosting::service_ref::<T>(&self.0.hub)
    }

    /// Returns the ref of the actor with this key. It does not activate it.
    #[must_use]
    pub fn actor<T: Definition<Addressing: ReachedByKey<T>>>(
        &self,
        key: impl KeyOf<T, <T::Addressing as ReachedByKey<T>>::Key>,
    ) -> T::Ref {
        hosting::keyed_ref::<T>(&self.0.hub, key.into().into())
    }

    /// Spawns an actor that starts from `Default`. A panic restarts it, by its settings; it lives
    /// until it is stopped, also when no ref is left.
    pub fn spawn<T: Handlers<Addressing: CanBeSpawned<T> + SpawnedHere<T>> + Begins>(
        &self,
    ) -> T::Ref {
        self.spawn_with(|_: &Ctx<T>| T::begun())
    }

    /// Spawns an actor that starts from what `make` returns; `make` runs again for each restart.
    pub fn spawn_with<T: Handlers<Addressing: CanBeSpawned<T> + SpawnedHere<T>>>(
        &self,
        make: impl Fn(&Ctx<T>) -> T + Send + Sync + 'static,
    ) -> T::Ref {
        hosting::spawn::<T>(&self.0.hub, &self.0.guardian, Arc::new(make))
    }

    /// Makes an actor on a node that hosts its type, this one among them: of two such nodes that are drawn at random, on the
    /// one that is less loaded. Its type says `placement = "least_loaded"`. It starts as that node's
    /// [`host`](Builder::host) or [`host_with`](Builder::host_with) says.
    ///
    /// **Load** is the number of actors that a node has in memory, and of calls of other nodes and clients that wait or
    /// run there, with the same weight. Both nodes are asked for it.
    ///
    /// The actor belongs to the node that it is on, which restarts it after a panic, by the settings of its type. It lives until it is
    /// stopped there or that node ends, also when whoever has spawned it ends. [`watch`](crate::watch) tells of
    /// the loss of its node.
    ///
    /// # Errors
    /// By code: `NoHost` if no linked node hosts the type; `NodeStopping`. If each node that hosts it has refused or not
    /// answered, what one of them says: `TooManyActors`, `NodeStopping`, `Forbidden`, `PeerLost`, `DeadlineExceeded` and others. An
    /// actor may have been made then that nobody has the ref of: it ends by itself, within 30 s.
    ///
    /// # Cancel safety
    /// Dropped before it is done, an actor that was made meanwhile ends.
    pub fn spawn_placed<T: Definition<Addressing: PlacedByLoad<T>>>(&self) -> Spawning<T::Ref> {
        spawning::spawn_placed::<T>(&self.0.hub)
    }

    /// Makes an actor on the node of this name, which hosts its type; it may be this one. Its type says `placement =
    /// "pinned"`, or `"least_loaded"`. Beside the choice of the node it is as [`spawn_placed`](Self::spawn_placed).
    ///
    /// # Errors
    /// By code: `PeerUnreachable` if no link to the node is up; `NotHosted` if it does not host the type; `TooManyActors`;
    /// `NodeStopping`; `Forbidden`; `PeerDenied`; `UnknownMethod` if its version is too old. A node that does not answer, or is lost
    /// meanwhile, is asked again for the same actor, for twice `peer_timeout` and 4 s (10 s), then it is `PeerLost` or
    /// `DeadlineExceeded`: an actor that may have been made ends by itself, within 30 s.
    ///
    /// # Cancel safety
    /// As [`spawn_placed`](Self::spawn_placed).
    pub fn spawn_on<T: Definition<Addressing: PlacedByName<T>>>(
        &self,
        node: impl Into<String>,
    ) -> Spawning<T::Ref> {
        spawning::spawn_on::<T>(&self.0.hub, node.into())
    }

    /// Spawns an actor that starts from `Default` and has a name, by which every node and client of the cluster
    /// finds it. The name is asked for first: if another actor has it, none is spawned.
    ///
    /// # Errors
    /// As [`claim_name`](Self::claim_name).
    ///
    /// # Cancel safety
    /// Dropped before it is done, the name is asked for no more, and no actor was spawned.
    pub async fn spawn_named<T: Handlers<Addressing: CanBeSpawned<T> + SpawnedHere<T>> + Begins>(
        &self,
        name: impl AsRef<str> + Send,
    ) -> Result<(T::Ref, HeldName), ClaimError> {
        self.spawn_named_with(name, |_: &Ctx<T>| T::begun()).await
    }

    /// Spawns an actor that starts from what `make` returns and has a name, as [`spawn_named`](Self::spawn_named)
    /// does; `make` runs again for each restart.
    ///
    /// # Errors
    /// As [`claim_name`](Self::claim_name).
    ///
    /// # Cancel safety
    /// Dropped before it is done, the name is asked for no more, and no actor was spawned.
    pub async fn spawn_named_with<T: Handlers<Addressing: CanBeSpawned<T> + SpawnedHere<T>>>(
        &self,
        name: impl AsRef<str> + Send,
        make: impl Fn(&Ctx<T>) -> T + Send + Sync + 'static,
    ) -> Result<(T::Ref, HeldName), ClaimError> {
        let (hub, guardian) = (&self.0.hub, &self.0.guardian);
        naming::spawn::<T>(hub, guardian, name.as_ref(), Arc::new(make)).await
    }

    /// Gives a spawned actor of this node a name, by which every node and client of the cluster finds it with
    /// [`named`](Self::named). It may have several, of 1 to 255 bytes each. It keeps them over restarts, until it ends or
    /// [releases](HeldName::release) them; what it is given already, it is given again at once.
    ///
    /// Every node that is linked is asked. **The first holder keeps the name**: others get [`ClaimError::Taken`], which
    /// says where that one runs. Of two that ask at the same moment one gets it. Nodes that are not linked with each
    /// other, as in a network that is split, cannot ask each other; so both sides may give the name away. When they are linked
    /// again, **the actor that has held it for longer keeps it**, to within the time of a message. The other one goes on without: its node's log has a
    /// warning with the code `NameLost`, and [`HeldName::lost`] returns.
    ///
    /// It waits for a node that does not answer until that one is lost (`peer_timeout`, 3 s).
    ///
    /// # Errors
    /// [`ClaimError`].
    ///
    /// # Cancel safety
    /// Dropped before it is done, the name is asked for no more.
    pub async fn claim_name<R>(
        &self,
        name: impl AsRef<str> + Send,
        actor: &R,
    ) -> Result<HeldName, ClaimError>
    where
        R: Reference<Interface: Definition<Addressing: CanBeSpawned<R::Interface>>>,
    {
        naming::claim(&self.0.hub, name.as_ref(), actor).await
    }

    /// Finds the spawned actor that has a name, on whatever node it runs. It costs a small call to each linked node;
    /// so keep the ref, which is good until the actor ends, and look the name up again when a call of it says
    /// that it is gone.
    ///
    /// # Errors
    /// By code: `NameUnknown`, with the nodes that were asked; `NameOfOtherType` if the actor is not a `T`;
    /// `NameInvalid`; `NodeStopping`.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn named<T: Definition<Addressing: CanBeSpawned<T>>>(
        &self,
        name: impl AsRef<str> + Send,
    ) -> Result<T::Ref, CallError> {
        naming::find::<T>(&self.0.hub, name.as_ref()).await
    }

    /// Makes a group of actors with a restart strategy of its own. It ends with the node.
    #[must_use]
    pub fn supervisor(&self, strategy: Strategy) -> Supervisor {
        Supervisor::new(
            self.0.hub.clone(),
            self.0
                .hub
                .new_group(hosting::guardian(&self.0.hub, strategy)),
        )
    }

    /// Stops an actor of this node: its children first, then what waits in its mailbox runs, and streams that have a
    /// deadline end; what is left after `grace` is dropped. Streams without a deadline are cut then. Returns whether it was here.
    ///
    /// Calls of a key get `ActorStopped` while its activation stops; the next one after that
    /// activates it anew. An actor that was given up leaves its quarantine: a spawned one is
    /// forgotten, a key can be called again. A service cannot be stopped apart from its node.
    ///
    /// # Cancel safety
    /// Dropped in the middle, the actor has stopped taking calls and may not have ended.
    pub async fn stop_actor<R: Reference>(&self, target: &R, grace: Duration) -> bool {
        hosting::stop_actor(&self.0.hub, target, grace).await
    }

    /// Returns the ref of the [admin service](crate::admin) of one node alone: of a member, or of this
    /// node by its own name. A ref of any node's is `service::<Admin>()`.
    #[must_use]
    pub fn admin(&self, of: &Member) -> AdminRef {
        admin::of_node(&self.0.hub, of.id, of.incarnation)
    }

    /// Chooses whether a node votes, if this one leads; the future holds no part of the node's life. For the
    /// simulator: whoever runs a cluster asks the [admin service](Self::admin) of the leader.
    #[doc(hidden)]
    pub fn choose_voter(
        &self,
        node: String,
        choice: admin::VoterChoice,
    ) -> impl Future<Output = Result<(), admin::VoterError>> + Send + use<> {
        let desk = self.0.desk.clone();
        async move { desk.choose_voter(node, choice).await }
    }

    /// Attaches a ref that was decoded outside a call to this node.
    #[must_use]
    pub fn attach<R: Reference>(&self, target: R) -> R {
        R::from_raw(R::as_raw(&target).clone().attached(self.0.hub.clone()))
    }

    /// Returns the other members that a link is up with, in the order of their ids.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        members(&self.0.net)
    }

    /// Returns which cluster this node belongs to, for good. Nothing for one that has neither formed a
    /// cluster nor met one that was formed.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.0.cluster.status().cluster
    }

    /// Returns which node leads the control group of the cluster, as far as this node knows. It may
    /// have been lost since.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.0.cluster.status().leader
    }

    /// Returns whether this node votes in the control group of the cluster, as far as it knows. A cluster
    /// that was formed a moment ago has one voter, and gives the others their seats as soon as they have
    /// its log; until then it does not survive the loss of that one.
    #[must_use]
    pub fn votes(&self) -> bool {
        self.0.cluster.status().votes
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
        self.0.cluster.joined(within).await
    }

    /// Shows another identity in the handshakes that begin from now on, and trusts whom it trusts:
    /// for a new key, a new certificate or a new authority. Links that are up stay, with the roles
    /// that they began with.
    ///
    /// # Errors
    /// [`StartError`] by code: `CertificateInvalid` if it has another cluster, kind or name, does
    /// not fit its key, is not valid now, or was not issued by an authority that it trusts; `DevNotLoopback`. Nothing was
    /// changed.
    pub fn rotate(&self, identity: &Identity) -> Result<(), StartError> {
        self.0.net.rotate(identity)
    }

    /// Denies the nodes and clients on the list, and no others: links with them are closed at
    /// once, and no new ones come up. Both sides are told `PeerDenied`. The list replaces the last one
    /// and is kept nowhere else; give it to the builder when it has to hold from the start.
    pub fn deny(&self, list: DenyList) {
        self.0.net.deny(list);
    }

    /// Returns the metrics in the OpenMetrics text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        let status = self.0.cluster.status();
        self.0.hub.metrics().set_control(&ControlSample {
            term: status.term,
            is_leader: status.is_leader,
            applied: status.applied,
            voters: status.voters.len() as u64,
            sync: status.sync,
            lease_left: status
                .lease_until
                .map_or(Duration::ZERO, |it| it - self.0.hub.lease_now()),
        });
        crate::usage::metrics(&self.0.hub, &self.0.net)
    }

    /// Returns how much is held of everything that has a bound. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn usage(&self) -> Vec<crate::usage::Held> {
        crate::usage::usage(&self.0.hub, &self.0.net)
    }

    /// Returns how this node stands in its cluster. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn position(&self) -> Position {
        self.0.cluster.position(self.0.hub.lease_now())
    }

    /// Returns what this node knows of all slots, in order. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn entries(&self) -> Vec<(SlotId, Entry)> {
        self.0.cluster.entries()
    }

    /// Returns how many messages wait in each mailbox. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn mailboxes(&self) -> Vec<(String, u64)> {
        crate::usage::mailboxes(&self.0.hub)
    }

    /// Drains the node, so that it can be stopped without a failed call: gives away the leadership of the
    /// control group and its seat in it, then its slots, one after the other, at the rate that
    /// the cluster's settings say (200 a second); then tells peers and clients to call its services elsewhere,
    /// waits until they have taken that in (a second at most) and until no call of a service waits or runs here, and no
    /// stream of one is open that has a deadline (for the node's grace at most), and leaves the cluster. Calls and streams of
    /// spawned actors that are in flight, and streams of services that have no deadline, end in [`stop`](Self::stop), which is
    /// the next thing to call. How far it is says [`draining`](Self::draining).
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
        self.0.desk.drain(within).await
    }

    /// Returns how far the node is drained; nothing if it is not to be.
    #[must_use]
    pub fn draining(&self) -> Option<Draining> {
        self.0.cluster.draining()
    }

    /// Waits until the node is to stop: until [`stop`](Self::stop) is called on one of its clones, or its runtime ends.
    /// From then on others choose other nodes, and soon this one takes no calls any more. For a task that works
    /// beside the node, and ends with it.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing: on a node that is stopping it returns at once.
    pub async fn stopping(&self) {
        self.0.hub.stop_asked().cancelled().await;
    }

    /// Stops the node: it tells its peers, takes no new calls, runs what waits in its mailboxes, lets streams end that have a
    /// deadline, and closes its links. Those without one are cut, and not waited for. What is left after the grace period is dropped, and told of in the log. Default 10 s. A
    /// handler that does not await cannot be dropped: this goes on without it, a second later, and the process ends
    /// when the handler returns.
    ///
    /// A member of a cluster then says that this life of it is over, so that others get its slots without
    /// waiting until its lease has ended. It acts on nothing any more: its turns have ended, and one that
    /// cannot be ended lets nothing out, as the lease is given up first. Calls of its keys wait
    /// for the next owner. To have them wait no longer than a move takes, [`drain`](Self::drain) it
    /// before.
    ///
    /// It begins when the future is first polled, which may be handed to a task as it is. Each clone of the node may call
    /// it, also at the same time: all of them return when the node has stopped, and a
    /// call after that returns at once. It returns nothing, as nothing in it fails for good. Afterwards the port and
    /// the data folder are free, calls through the node get `NodeStopping`, and it has no members.
    ///
    /// A handler of this node that awaits it waits for its own end: the grace period passes, and the handler
    /// is dropped. Let a task of your own stop the node.
    ///
    /// # Cancel safety
    /// Dropping it only ends the wait: the node goes on stopping for as long as a clone of it is kept. Call it again to
    /// wait on.
    pub fn stop(&self) -> impl Future<Output = ()> + Send + use<> {
        let node = self.0.clone();
        async move {
            if !node.hub.is_adrift() {
                node.ending.run(|| node.end()).await;
            }
            // Also where the runtime has ended meanwhile, and the stop with it.
            node.let_go();
        }
    }
}

impl Running {
    /// Lets go of the port and the data folder, AFTER the last task that works with them.
    fn let_go(&self) {
        self.net.let_go();
        unlock(&self.data_dir);
    }

    /// Makes what stops the node. It holds the parts and not the node, which ends with its last clone.
    fn end(&self) -> impl Future<Output = ()> + Send + 'static {
        let (hub, net, guardian) = (self.hub.clone(), self.net.clone(), self.guardian.clone());
        let (cluster, data_dir) = (self.cluster.clone(), self.data_dir.clone());
        let grace = self.desk.grace;
        // BEFORE anything ends that a task beside the node may work with.
        hub.stop_asked().cancel();
        async move {
            let deadline = Instant::now() + grace;
            let left = || deadline.saturating_duration_since(Instant::now());
            // BEFORE calls are refused: peers choose other nodes from now on.
            net.leave().await;
            hub.set_stopping();
            for group in hub.take_groups() {
                group.stop(left()).await;
            }
            guardian.stop(left()).await;
            // AFTER the last turn.
            cluster.end(END_MAX).await;
            net.close("the node is stopping", left()).await;
            hub.shut().await;
            unlock(&data_dir);
        }
    }
}

fn unlock(data_dir: &Locked) {
    let mut data_dir = data_dir.lock().unwrap_or_else(PoisonError::into_inner);
    drop(data_dir.take());
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

impl Drop for Running {
    fn drop(&mut self) {
        if !self.hub.stop_asked().is_cancelled() {
            tracing::warn!(
                node = self.hub.me().name,
                "the node was dropped without `stop`, as it also is where `main` ends by an error, which is told after \
                 this: calls in flight are lost, and peers may wait for it until their timers end; call \
                 `node.stop().await` before, and keep the node until then"
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

#[cfg(test)]
mod tests {
    use callboard_protocol::{
        code::Code,
        id::{ClusterName, NodeName},
        wire::hello::PeerKind,
    };

    use super::*;
    use crate::{
        net::Authority,
        service::spawning::tests::{Lodge, as_an_earlier_version},
    };

    #[tokio::test]
    async fn a_node_whose_version_makes_no_actors_for_others_is_told_as_that() {
        let cluster = ClusterName::new("test").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let node = |name: &str| {
            let name = NodeName::new(name).expect("a name");
            let identity = authority.issue(name, PeerKind::Node).expect("issued");
            Node::builder().identity(identity)
        };
        let earlier = node("n1").host::<Lodge>().start().await.expect("starts");
        as_an_earlier_version(&earlier.0.hub);
        let asks = node("n2").seed(earlier.local_addr());
        let asks = asks.start().await.expect("starts");
        let error = asks.spawn_on::<Lodge>("n1").await.expect_err("refused");
        assert_eq!(error.code(), Code::UnknownMethod, "{error}");
        assert_eq!(error.subject(), "actor Lodge on node n1");
        assert!(error.advice().starts_with("upgrade the node"), "{error}");
        asks.stop().await;
        earlier.stop().await;
    }
}
