//! What the calls of one node share: who it is, whom it is linked with, what it hosts, its
//! deadlines, limits and metrics. A ref holds the hub; a node or a client owns it.

use std::{
    any::TypeId,
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{ActorAddr, ActorId, Incarnation, InterfaceId, MethodId, NodeId, NodeName},
    policy::{RetryBudget, RetrySettings},
    rights::Policy,
    time::Time,
    wire::{
        Limits,
        hello::{FEATURE_ALONE, FEATURE_PLACES, HostedInterface, PeerKind},
    },
};
use tokio::sync::watch;

use tokio_util::sync::CancellationToken;

use crate::{
    actor::Guardian,
    cluster::{Ownership, PlacedBy},
    env::Env,
    net::{Link, LinkDown, Net, PeerInfo},
    task::Tasks,
    telemetry::Metrics,
};

use super::{
    deadline::Deadlines,
    face::Face,
    interface::{Interface, interface_id},
    limits::CallLimits,
    meta::Caller,
    named::Named,
    names::Names,
    seen::tell_view,
    server::Hosted,
    session::Session,
    sessions::Sessions,
    spawned::Spawned,
    watch::Unlinked,
    withdrawal::Withdrawals,
};

/// Who the node is.
#[derive(Clone, Debug)]
pub(crate) struct Me {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) kind: PeerKind,
    pub(crate) incarnation: Incarnation,
}

/// The shared part of a node or a client.
pub(crate) struct Hub {
    me: Me,
    env: Env,
    tasks: Tasks,
    metrics: Metrics,
    deadlines: Deadlines,
    /// The time of leases at the start.
    booted: Duration,
    limits: Limits,
    call_limits: CallLimits,
    policy: Policy,
    peer_timeout: Duration,
    budget: Mutex<RetryBudget>,
    /// Calls that the budget has not been told of.
    uncounted: AtomicU32,
    random: AtomicU64,
    next_actor: AtomicU64,
    stopping: AtomicBool,
    /// Wakes who works beside the node and ends with it.
    pub(super) stop_asked: CancellationToken,
    /// The runtime has ended that the tasks ran on.
    pub(super) adrift: AtomicBool,
    /// The client was dropped, and not closed before.
    pub(super) dropped: AtomicBool,
    faces: RwLock<BTreeMap<InterfaceId, (TypeId, Arc<Face>)>>,
    pub(super) hosts: RwLock<BTreeMap<InterfaceId, Arc<dyn Hosted>>>,
    pub(super) actors: RwLock<BTreeMap<ActorId, Arc<dyn Hosted>>>,
    /// How often an actor or a service was taken out.
    removals: AtomicU64,
    sessions: Sessions,
    names: Names,
    pub(super) named: Named,
    pub(super) spawned: Spawned,
    pub(super) withdrawals: Withdrawals,
    /// Groups of actors that the node stops with itself.
    pub(super) groups: Mutex<Vec<Guardian>>,
    net: OnceLock<Weak<Net>>,
    /// Nothing where keyed actors live on the node that is asked.
    ownership: OnceLock<Arc<Ownership>>,
    /// Tells that a peer has said by which tables it goes.
    pub(super) seen: watch::Sender<()>,
}

impl Hub {
    pub(crate) fn new(
        me: Me,
        env: Env,
        tasks: Tasks,
        limits: Limits,
        call_limits: CallLimits,
        policy: Policy,
        peer_timeout: Duration,
    ) -> Arc<Self> {
        let deadlines = Deadlines::new(env.clock.clone());
        let booted = env.clock.since_boot();
        let random = AtomicU64::new(env.entropy.next_u64());
        let named = Named::new(me.id, call_limits.names_max);
        let hub = Arc::new(Self {
            me,
            env,
            metrics: Metrics::new(),
            deadlines,
            booted,
            limits,
            call_limits,
            policy,
            peer_timeout,
            budget: Mutex::new(RetryBudget::new(RetrySettings::default())),
            uncounted: AtomicU32::new(0),
            random,
            next_actor: AtomicU64::new(1),
            stopping: AtomicBool::new(false),
            stop_asked: CancellationToken::new(),
            adrift: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            faces: RwLock::default(),
            hosts: RwLock::default(),
            actors: RwLock::default(),
            removals: AtomicU64::new(0),
            sessions: Sessions::default(),
            names: Names::default(),
            named,
            spawned: Spawned::default(),
            withdrawals: Withdrawals::default(),
            groups: Mutex::default(),
            net: OnceLock::new(),
            ownership: OnceLock::new(),
            seen: watch::Sender::new(()),
            tasks,
        });
        let driven = hub.clone();
        let token = hub.tasks.token().clone();
        hub.tasks.spawn("deadlines", async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = driven.deadlines.drive() => {}
            }
            driven.deadlines.end();
        });
        hub
    }

    #[inline]
    pub(crate) fn me(&self) -> &Me {
        &self.me
    }

    #[inline]
    pub(crate) fn env(&self) -> &Env {
        &self.env
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    #[inline]
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    #[inline]
    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.deadlines
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn call_limits(&self) -> &CallLimits {
        &self.call_limits
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns after how long without a word a peer counts as lost.
    pub(crate) fn peer_timeout(&self) -> Duration {
        self.peer_timeout
    }

    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.deadlines.now()
    }

    /// Returns the time since the node's start that leases go by. It is not that of [`now`](Self::now):
    /// it also runs while the machine is suspended.
    #[inline]
    pub(crate) fn lease_now(&self) -> Time {
        Time::ZERO + self.env.clock.since_boot().saturating_sub(self.booted)
    }

    /// Returns a number from a seeded sequence (splitmix64); not for secrets.
    pub(crate) fn random(&self) -> u64 {
        let state = self
            .random
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Counts a call for the budget of retries. The budget is told of calls by the batch.
    pub(crate) fn count_call(&self, now: Time) {
        let before = self.uncounted.fetch_add(1, Ordering::Relaxed);
        if before + 1 >= CALLS_COUNTED_AT_ONCE {
            drop(self.budget(now));
        }
    }

    /// Takes a retry from the budget and returns true, or returns false when there is none.
    pub(crate) fn take_retry(&self) -> bool {
        let now = self.now();
        self.budget(now).withdraw(now)
    }

    /// Returns the budget with all calls counted.
    fn budget(&self, now: Time) -> MutexGuard<'_, RetryBudget> {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        budget.deposit_many(self.uncounted.swap(0, Ordering::Relaxed), now);
        budget
    }

    /// Returns an address for a new actor of this node.
    pub(crate) fn new_address(&self) -> ActorAddr {
        let actor = ActorId(self.next_actor.fetch_add(1, Ordering::Relaxed));
        ActorAddr {
            node: self.me.id,
            incarnation: self.me.incarnation,
            actor,
        }
    }

    /// Returns whether the address belongs to this life of this node.
    pub(crate) fn is_mine(&self, addr: &ActorAddr) -> bool {
        addr.node == self.me.id && addr.incarnation == self.me.incarnation
    }

    /// Returns the face of `I`, made on first use.
    ///
    /// # Errors
    /// `ShapeUnbounded` when a type of `I` is recursive and states no depth, `DuplicateInterface` when
    /// two interfaces share one name.
    pub(crate) fn face<I: Interface>(&self) -> Result<Arc<Face>, CallError> {
        let id = interface_id::<I>();
        let known = {
            let faces = self.faces.read().unwrap_or_else(PoisonError::into_inner);
            faces.get(&id).cloned()
        };
        if let Some((owner, face)) = known {
            return if owner == TypeId::of::<I>() {
                Ok(face)
            } else {
                Err(same_name::<I>())
            };
        }
        let made = Face::new::<I>(&self.policy, |spec| {
            self.metrics.method(spec.interface, spec.name)
        });
        let face = Arc::new(made.map_err(|error| {
            CallError::new(Code::ShapeUnbounded, format!("interface {}", I::NAME))
                .with_detail(error.to_string())
        })?);
        let mut faces = self.faces.write().unwrap_or_else(PoisonError::into_inner);
        let (owner, face) = faces.entry(id).or_insert((TypeId::of::<I>(), face)).clone();
        if owner == TypeId::of::<I>() {
            Ok(face)
        } else {
            Err(same_name::<I>())
        }
    }

    /// Sets the host of an interface; returns false when there was one.
    pub(crate) fn set_host(&self, interface: InterfaceId, host: Arc<dyn Hosted>) -> bool {
        let mut hosts = self.hosts.write().unwrap_or_else(PoisonError::into_inner);
        hosts.insert(interface, host).is_none()
    }

    pub(crate) fn host(&self, interface: InterfaceId) -> Option<Arc<dyn Hosted>> {
        self.hosts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&interface)
            .cloned()
    }

    pub(crate) fn add_actor(&self, actor: ActorId, host: Arc<dyn Hosted>) {
        self.actors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(actor, host);
    }

    pub(crate) fn remove_actor(&self, actor: ActorId) {
        self.actors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&actor);
        self.removals.fetch_add(1, Ordering::Release);
    }

    /// Returns how often an actor or a service was taken out: while that is the same, what was found
    /// is still there.
    #[inline]
    pub(super) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    pub(crate) fn actor(&self, actor: ActorId) -> Option<Arc<dyn Hosted>> {
        self.actors
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&actor)
            .cloned()
    }

    /// Enters the session of a link that is up; it replaces an earlier one with the same peer.
    pub(crate) fn session_up(self: &Arc<Self>, link: &Arc<Link>) -> Arc<Session> {
        let session = Arc::new(Session::new(self.clone(), link.clone()));
        tell_view(&session);
        self.sessions.add(&session, || {
            if let Some((id, name)) = node_of(link) {
                self.names.linked(id, name);
            }
        });
        tell_view(&session);
        session.compare_all();
        self.tasks.spawn("call-deadlines", session.clone().sweep());
        session
    }

    /// Returns the faces of what this node hosts or has called.
    pub(super) fn known_faces(&self) -> Vec<Arc<Face>> {
        let faces = self.faces.read().unwrap_or_else(PoisonError::into_inner);
        faces.values().map(|(_, face)| face.clone()).collect()
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Returns a node as errors name it: by its name where that is known, else by its id.
    pub(crate) fn node_name(&self, id: NodeId) -> String {
        if id == self.me.id {
            return format!("node {}", self.me.name);
        }
        match self.names.name(id) {
            Some(name) => format!("node {name}"),
            None => format!("node {id}"),
        }
    }

    /// Ends a session, unless a later one has taken its place already.
    pub(crate) fn session_down(&self, session: &Arc<Session>, why: &LinkDown) {
        self.sessions.remove(session, || {
            if let Some((id, name)) = node_of(&session.link) {
                let life = session.link.peer().incarnation;
                self.names.parted(id, name, life, why);
            }
        });
        session.set_replaced();
        session.end(Unlinked::from(why));
    }

    pub(crate) fn session(&self, node: NodeId) -> Option<Arc<Session>> {
        self.sessions.get(node)
    }

    /// Returns all sessions, in the order of the peers' ids.
    pub(crate) fn sessions(&self) -> Arc<[Arc<Session>]> {
        self.sessions.all()
    }

    /// Sets the links, once they can come up.
    pub(crate) fn set_net(&self, net: &Arc<Net>) {
        // A hub has one node or client, which has one port.
        let _ = self.net.set(Arc::downgrade(net));
    }

    /// Returns the links, if they can come up.
    pub(crate) fn net(&self) -> Option<Arc<Net>> {
        self.net.get()?.upgrade()
    }

    /// Sets what says where keyed actors are, BEFORE anything is called. It is set once.
    pub(crate) fn set_ownership(&self, ownership: Arc<Ownership>) {
        // A second one would be another cluster's; the node has joined the first.
        let _ = self.ownership.set(ownership);
    }

    /// Returns what says where keyed actors are; nothing where they live on the node that is asked.
    pub(crate) fn ownership(&self) -> Option<&Arc<Ownership>> {
        self.ownership.get().filter(|ownership| ownership.places())
    }

    /// Returns how keys are placed; nothing for a client, which has no keys.
    pub(crate) fn placed_by(&self) -> Option<PlacedBy> {
        let ownership = self.ownership.get();
        let ownership = ownership.filter(|_| self.me.kind == PeerKind::Node);
        ownership.map(|it| it.placed_by())
    }

    /// Takes in what the hello of a peer says of how keys are placed. A client hears of it otherwise.
    pub(crate) fn hear_of_placing(&self, peer: &PeerInfo) {
        let ownership = self.ownership.get();
        let Some(ownership) = ownership.filter(|_| self.me.kind == peer.kind) else {
            return;
        };
        let features = peer.features;
        if features & FEATURE_PLACES != 0 {
            ownership.expect();
        } else if features & FEATURE_ALONE != 0 {
            ownership.set_alone();
        }
    }

    /// Returns the directories of the keyed actors that this node hosts.
    pub(crate) fn directories(&self) -> Vec<Arc<dyn Hosted>> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let keyed = hosts.values().filter(|host| host.keys().is_some());
        keyed.cloned().collect()
    }

    /// Describes what this node hosts, for its hello.
    pub(crate) fn hosted(&self) -> Vec<HostedInterface> {
        let faces = self.faces.read().unwrap_or_else(PoisonError::into_inner);
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let hosted = faces
            .values()
            .filter(|(_, face)| hosts.contains_key(&face.id));
        hosted.map(|(_, face)| face.hosted()).collect()
    }

    /// Runs `forget` once the quarantine of an actor that was given up now is over, unless the node
    /// ends first.
    pub(crate) fn after_quarantine(&self, forget: impl FnOnce() + Send + 'static) {
        let quarantine = self.call_limits.quarantine;
        let token = self.tasks.token().clone();
        self.tasks.spawn("quarantine", async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = tokio::time::sleep(quarantine) => forget(),
            }
        });
    }

    /// Checks that a caller may call a method, if this node knows it.
    ///
    /// # Errors
    /// `Forbidden`.
    pub(crate) fn permits(
        &self,
        interface: InterfaceId,
        method: MethodId,
        caller: &Caller,
    ) -> Result<(), CallError> {
        let faces = self.faces.read().unwrap_or_else(PoisonError::into_inner);
        let face = faces.get(&interface).map(|(_, face)| face.clone());
        drop(faces);
        let methods = face.iter().flat_map(|face| &face.methods);
        methods
            .filter(|known| known.spec.id == method)
            .try_for_each(|known| known.permits(caller, &self.me.name))
    }

    /// Counts a call of a peer that was refused before it reached a mailbox.
    pub(crate) fn count_refused(&self, interface: InterfaceId, method: MethodId, code: Code) {
        let faces = self.faces.read().unwrap_or_else(PoisonError::into_inner);
        let methods = faces.get(&interface).map(|(_, face)| &face.methods);
        let known = methods
            .and_then(|methods| methods.iter().find(|known| known.spec.id == method))
            .map(|known| known.metrics.served().clone());
        drop(faces);
        let served = known.as_deref().unwrap_or_else(|| self.metrics.unknown());
        served.ended(Some(code), None);
    }

    /// Returns the name of an interface that this node knows, or its number.
    pub(crate) fn interface_name(&self, id: InterfaceId) -> String {
        let faces = self.faces.read().unwrap_or_else(PoisonError::into_inner);
        let face = faces.get(&id).map(|(_, face)| face.name.to_string());
        face.unwrap_or_else(|| format!("interface {id}"))
    }

    /// Returns how many messages wait, for each hosted service and each actor.
    pub(crate) fn depths(&self) -> Vec<(String, usize)> {
        let hosts = self.hosts.read().unwrap_or_else(PoisonError::into_inner);
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        let all = hosts.values().chain(actors.values());
        all.map(|host| (host.name().to_string(), host.depth()))
            .collect()
    }

    /// Refuses calls from now on.
    pub(crate) fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop_asked.cancel();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Ends all tasks and lets go of everything that holds this hub, so that it can be freed.
    pub(crate) async fn shut(&self) {
        self.clear();
        // A handler that never awaits cannot be ended; it must not keep the node from stopping.
        let _ = tokio::time::timeout(TASKS_GRACE * 2, self.tasks.stop(TASKS_GRACE)).await;
    }

    /// Asks all tasks to end, without waiting, and lets go of everything that holds this hub.
    pub(crate) fn end(&self) {
        self.set_stopping();
        self.tasks.token().cancel();
        self.clear();
    }

    fn clear(&self) {
        let sessions = self.sessions.take();
        self.named.clear();
        // BEFORE the actors are taken: what is cancelled leaves their queues.
        for session in &*sessions {
            session.set_replaced();
            session.end(Unlinked::ForGood);
        }
        let actors =
            std::mem::take(&mut *self.actors.write().unwrap_or_else(PoisonError::into_inner));
        let hosts =
            std::mem::take(&mut *self.hosts.write().unwrap_or_else(PoisonError::into_inner));
        let faces =
            std::mem::take(&mut *self.faces.write().unwrap_or_else(PoisonError::into_inner));
        self.removals.fetch_add(1, Ordering::Release);
        // Dropped here, AFTER the locks: what they hold may take a lock while it is dropped.
        drop((actors, hosts, sessions, faces));
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("node", &self.me.name)
            .finish_non_exhaustive()
    }
}

/// Returns which node a link is with. Clients host nothing, so no error is about one.
fn node_of(link: &Link) -> Option<(NodeId, &NodeName)> {
    let peer = link.peer();
    (peer.kind != PeerKind::Client).then_some((peer.id, &peer.name))
}

fn same_name<I: Interface>() -> CallError {
    CallError::new(Code::DuplicateInterface, format!("interface {}", I::NAME)).with_detail(
        "two definitions of this program have this name; give one another with \
         `#[service(name = \"…\")]` or `#[actor(name = \"…\")]`",
    )
}

/// One lock for so many calls; a retry counts those that are left.
const CALLS_COUNTED_AT_ONCE: u32 = 64;

/// Tasks end at their next await once they are told to.
const TASKS_GRACE: Duration = Duration::from_millis(500);
