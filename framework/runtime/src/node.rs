//! A node: the one place where the parts are joined.
//!
//! [`Node::builder`] takes what a node is made of; [`Builder::start`] opens its port, starts what it
//! hosts and joins its seeds. A node is a value: several can live in one process.

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ClusterId, Incarnation, NodeId},
    membership::Profile,
    rights::Policy,
    slots::Owner,
    supervision::Strategy,
    wire::hello::PeerKind,
};

use crate::{
    actor::Guardian,
    call::{
        CallLimits, Definition, Hub, Kind, Reference,
        kind::{CanBeHosted, CanBeSpawned, ReachedByKey, ReachedByType},
    },
    cluster::{About, Cluster, Data, Inbox, Ownership, Parts, Position},
    data_dir::DataDir,
    env::Env,
    net::{self, DenyList, Identity, Net, StartError},
    service::{Ctx, Handlers, Supervisor, hosting, keyed, slots},
    settings::{Settings, check_profile, new_hub, open},
    telemetry::ControlSample,
};

type Hosting = Box<dyn FnOnce(&Arc<Hub>, &Guardian) -> Result<(), CallError> + Send>;

/// One member of a cluster.
///
/// Dropping it without [`Node::stop`] ends its tasks at their next await: what is in flight is lost
/// and peers notice by their timers.
pub struct Node {
    hub: Arc<Hub>,
    net: Arc<Net>,
    guardian: Guardian,
    grace: Duration,
    cluster: Cluster,
    _data_dir: Option<Arc<Mutex<DataDir>>>,
}

/// What a node is made of. Made by [`Node::builder`].
#[must_use = "a builder does nothing until `start` is awaited"]
pub struct Builder {
    settings: Settings,
    hosting: Vec<Hosting>,
    grace: Duration,
    expect: Option<u32>,
    profile: Profile,
    ownership: Option<Arc<Ownership>>,
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
        Builder {
            settings: Settings::default(),
            hosting: Vec::new(),
            grace: GRACE,
            expect: None,
            profile: Profile::lan(),
            ownership: None,
        }
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
            voters: status.voters as u64,
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

    /// Returns how many messages wait in each mailbox. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn mailboxes(&self) -> Vec<(String, u64)> {
        crate::usage::mailboxes(&self.hub)
    }

    /// Stops the node: it tells its peers, takes no new calls, runs what waits in its mailboxes, and
    /// closes its links. What is left after the grace period is dropped. Default 10 s.
    ///
    /// # Cancel safety
    /// Dropped in the middle, the node is stopping and its links may still be open.
    pub async fn stop(self) {
        let deadline = tokio::time::Instant::now() + self.grace;
        // BEFORE calls are refused: peers choose other nodes from now on.
        self.net.leave().await;
        self.hub.set_stopping();
        let left = || deadline.saturating_duration_since(tokio::time::Instant::now());
        for group in self.hub.take_groups() {
            group.stop(left()).await;
        }
        self.guardian.stop(left()).await;
        self.net.close("the node is stopping", left()).await;
        self.hub.shut().await;
    }
}

impl Builder {
    /// Sets the name for an identity of the development authority. With an identity of your own the
    /// certificate says the name, and this must agree with it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Sets the address to listen on; port 0 takes a free one. Default `127.0.0.1:0`. With an
    /// identity of the development authority it must be loopback.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.settings.listen = Some(addr);
        self
    }

    /// Sets the address that others are told to dial, if it is not the one listened on.
    pub fn advertise(mut self, addr: SocketAddr) -> Self {
        self.settings.advertise = Some(addr);
        self
    }

    /// Adds the address of a node to join through. One that does not answer is tried again for as
    /// long as the node runs.
    pub fn seed(mut self, addr: SocketAddr) -> Self {
        self.settings.seeds.push(addr);
        self
    }

    /// Adds several seeds.
    pub fn seeds(mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.settings.seeds.extend(addrs);
        self
    }

    /// Sets who the node is. Default: an identity of the development authority, which is kept in
    /// the user's state folder.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.settings.identity = Some(identity);
        self
    }

    /// Sets the folder for what the node keeps across restarts: its incarnation, the cluster that it
    /// belongs to, and the log of the control group. The folder is locked, so that two processes cannot
    /// be one node.
    pub fn data_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.settings.data_dir = Some(folder.into());
        self
    }

    /// Forms a cluster together with others: so many nodes, this one included, 1 to 5, each with this
    /// setting and a [data folder](Self::data_dir). They find each other through their seeds. The
    /// cluster is formed once, when all are there; from then on the setting has no effect. Default: the
    /// node forms none, and joins one that it meets.
    ///
    /// The nodes that form the cluster vote in its control group first: 1 or 3 are usual.
    pub fn bootstrap_expect(mut self, nodes: u32) -> Self {
        self.expect = Some(nodes);
        self
    }

    /// Sets the times that leases and elections of the cluster go by, if this node forms it: one of
    /// the presets [`Profile::lan`] (the default), [`Profile::fast`] and [`Profile::wan`]. A node that
    /// joins goes by the cluster's.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Hosts a service, or a keyed actor type, that starts from `Default`.
    pub fn host<T: Handlers<Addressing: CanBeHosted<T>> + Default>(self) -> Self {
        self.host_with(|_: &Ctx<T>| T::default())
    }

    /// Hosts a service, or a keyed actor type, that starts from what `make` returns.
    pub fn host_with<T: Handlers<Addressing: CanBeHosted<T>>>(
        mut self,
        make: impl Fn(&Ctx<T>) -> T + Send + Sync + 'static,
    ) -> Self {
        let factory = Arc::new(make);
        self.hosting.push(Box::new(move |hub, guardian| {
            if T::SETTINGS.persist {
                return Err(persist_unsupported::<T>());
            }
            match T::KIND {
                Kind::Keyed => keyed::host_keyed::<T>(hub, guardian, factory),
                Kind::Service | Kind::Spawned => hosting::host_service::<T>(hub, guardian, factory),
            }
        }));
        self
    }

    /// Sets the settings of the links.
    pub fn config(mut self, config: net::Config) -> Self {
        self.settings.config = config;
        self
    }

    /// Sets the limits of calls.
    pub fn call_limits(mut self, limits: CallLimits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Sets what other nodes and clients may call. Default: what the methods' own
    /// `#[handler(allow = "…")]` say, and nothing of the system's. A call that a node makes to what it
    /// hosts itself is always allowed.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.settings.policy = policy;
        self
    }

    /// Sets who is not let in from the start; see [`Node::deny`]. Default: nobody.
    pub fn deny(mut self, list: DenyList) -> Self {
        self.settings.denied = list;
        self
    }

    /// Sets how long [`Node::stop`] waits for what is in flight. Default 10 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the share of calls, 0 to 1, that begin a trace. Default 0. A call made while a traced
    /// one is handled belongs to the same trace in any case.
    pub fn trace_share(mut self, share: f64) -> Self {
        self.settings.trace_share = share;
        self
    }

    /// Sets what the node gets from outside. Default: the operating system.
    pub fn env(mut self, env: Env) -> Self {
        self.settings.env = env;
        self
    }

    /// Sets what says where keyed actors are, in place of a control group. Whoever holds it feeds it.
    /// For tests and the simulator.
    #[doc(hidden)]
    pub fn ownership(mut self, ownership: Arc<Ownership>) -> Self {
        ownership.expect();
        self.ownership = Some(ownership);
        self
    }

    /// Starts the node. It is ready for calls when this returns; the seeds are dialled in the
    /// background.
    ///
    /// # Errors
    /// [`StartError`] by code: `BindFailed`, `CertificateInvalid`, `KeyReadable`,
    /// `DuplicateInterface`, `PersistUnsupported`, `ShapeUnbounded`, `DataDirLocked`,
    /// `ConfigInvalid`, `DevNotLoopback`, `Io`.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing of the node is left.
    pub async fn start(self) -> Result<Node, StartError> {
        let Self {
            mut settings,
            hosting,
            grace,
            expect,
            profile,
            ownership,
        } = self;
        check_profile(&profile)?;
        let made = new_hub(&settings, PeerKind::Node)?;
        let (hub, identity) = (made.hub, made.identity);
        let data_dir = made.data_dir.map(|dir| Arc::new(Mutex::new(dir)));
        let folder = settings.data_dir.take();
        let data = data_dir.as_ref().zip(folder.as_deref());
        let membership = Membership {
            expect,
            profile,
            data: data.map(|(dir, folder)| Data::new(dir, folder)),
            heir_of: made.last_life,
            advertise: settings.advertise,
            ownership,
        };
        let guardian = hosting::guardian(&hub, Strategy::OneForOne);
        let hosted = hosting
            .into_iter()
            .try_for_each(|host| host(&hub, &guardian));
        let opened = match hosted {
            Ok(()) => membership.open(&hub, &identity, settings),
            Err(error) => Err(start_error(error)),
        };
        match opened {
            Ok((net, cluster)) => Ok(Node {
                hub,
                net,
                guardian,
                grace,
                cluster,
                _data_dir: data_dir,
            }),
            Err(error) => {
                guardian.stop(Duration::ZERO).await;
                hub.shut().await;
                Err(error)
            }
        }
    }
}

/// How a node takes part in a cluster.
struct Membership {
    expect: Option<u32>,
    profile: Profile,
    data: Option<Data>,
    heir_of: Option<Incarnation>,
    advertise: Option<SocketAddr>,
    /// What is fed from outside, in place of a control group.
    ownership: Option<Arc<Ownership>>,
}

impl Membership {
    /// Opens the node's port, and starts its part in the cluster.
    fn open(
        self,
        hub: &Arc<Hub>,
        identity: &Identity,
        settings: Settings,
    ) -> Result<(Arc<Net>, Cluster), StartError> {
        let owner = Owner {
            node: hub.me().id,
            incarnation: hub.me().incarnation,
        };
        let driven = Arc::new(Ownership::new(owner));
        let ownership = self.ownership.unwrap_or_else(|| driven.clone());
        // BEFORE the port opens: a call that comes must not find that nobody places keys.
        hub.set_ownership(ownership.clone());
        let follow = slots::follow(hub.clone(), ownership.clone());
        hub.tasks().spawn("slots", follow);
        let (inbox, queue) = Inbox::new();
        let net = open(identity.clone(), settings, hub, inbox)?;
        let timed = Arc::clone(hub);
        let parts = Parts {
            owner,
            heir_of: self.heir_of,
            clock: Arc::new(move || timed.lease_now()),
            expect: self.expect,
            profile: self.profile,
            data: self.data,
            about: About {
                name: identity.name().clone(),
                addr: self.advertise.unwrap_or(net.local_addr()),
                zone: String::new(),
                roles: identity.roles().iter().cloned().collect(),
                labels: BTreeMap::new(),
                hosts: hub.directories().iter().map(|it| it.interface()).collect(),
                weight: WEIGHT,
            },
        };
        let cluster = Cluster::start(hub.env(), hub.tasks(), parts, driven, ownership, queue)?;
        Ok((net, cluster))
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

fn start_error(error: CallError) -> StartError {
    StartError::new(error.code(), error.subject().to_string())
        .with_detail(error.detail().to_string())
}

fn persist_unsupported<T: Definition>() -> CallError {
    CallError::new(Code::PersistUnsupported, format!("actor {}", T::NAME)).with_detail(
        "this version keeps actor state in memory only; remove `persist`, or state that was \
         acknowledged would be lost with the node",
    )
}

impl Drop for Node {
    fn drop(&mut self) {
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

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listen", &self.settings.listen)
            .finish_non_exhaustive()
    }
}

/// A member's share of the load beside others'.
const WEIGHT: u32 = 100;

/// Long enough for ordinary calls, short enough for a supervisor outside that kills after 30 s.
const GRACE: Duration = Duration::from_secs(10);
