//! What a node is made of, and how it starts.
//!
//! Depends on what `node` may depend on.

use std::{
    fmt,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    id::Incarnation,
    membership::{GONE_MAX, Profile},
    rights::Policy,
    slots::{Owner, SlotCount},
    supervision::Strategy,
    wire::hello::PeerKind,
};

use super::{Node, pulse};
use crate::{
    actor::Guardian,
    admin::{self, Desk},
    call::{
        CallLimits, Definition, Hub, Kind, end_lives,
        kind::{Begins, CanBeHosted},
        lacks, movable, tell_seen,
    },
    cluster::{About, Cluster, Data, Inbox, Ownership, Parts, Passage, Site},
    env::Env,
    net::{self, Address, Addresses, DenyList, HostPort, Identity, StartError},
    service::{Ctx, Handlers, hosting, keyed, naming, slots, spawning},
    settings::{Settings, address, check_profile, new_hub, open},
};

type Hosting = Box<dyn FnOnce(&Arc<Hub>, &Guardian) -> Result<(), CallError> + Send>;

/// What a node is made of. Made by [`Node::builder`].
#[must_use = "a builder does nothing until `start` is awaited"]
pub struct Builder {
    settings: Settings,
    hosting: Vec<Hosting>,
    grace: Duration,
    expect: Option<u32>,
    profile: Profile,
    gone_max: Duration,
    slots: SlotCount,
    ownership: Option<Arc<Ownership>>,
    site: Site,
}

impl Builder {
    /// Begins with the defaults of all settings.
    pub(super) fn new() -> Self {
        Self {
            settings: Settings::default(),
            hosting: Vec::new(),
            grace: GRACE,
            expect: None,
            profile: Profile::lan(),
            gone_max: GONE_MAX,
            slots: SlotCount::default(),
            ownership: None,
            site: Site::default(),
        }
    }

    /// Sets the name for an identity of the development authority. With an identity of your own the
    /// certificate says the name, and this must agree with it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Sets the address to listen on, such as `"127.0.0.1:4001"`; port 0 takes a free one. Default
    /// `127.0.0.1:0`. With an identity of the development authority it must be loopback.
    pub fn listen(mut self, addr: impl Address) -> Self {
        self.settings.listen = Some(addr.into());
        self
    }

    /// Sets the address that others are told to dial, if it is not the one listened on.
    pub fn advertise(mut self, addr: impl Address) -> Self {
        self.settings.advertise = Some(addr.into());
        self
    }

    /// Adds the address of a node to join through, or its name, such as `"node1.internal:4001"`. One
    /// that does not answer is tried again for as long as the node runs. A name is looked up before each
    /// try, and each address that it stands for then is tried, up to 64.
    pub fn seed(mut self, seed: impl Address) -> Self {
        self.settings.seeds.push(seed.into());
        self
    }

    /// Adds several seeds.
    pub fn seeds(mut self, seeds: impl Addresses) -> Self {
        self.settings
            .seeds
            .extend(seeds.into_iter().map(Into::into));
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

    /// Says what is likely to fail together with this node: a rack, a building, a region; up to 63 bytes.
    /// Voters are spread over zones, and an actor type may [ask for one](crate::Actor) of several. Default: none.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.site.zone = zone.into();
        self
    }

    /// Says something of this node that an actor type may [ask for](crate::Actor), such as `("disk", "ssd")`: up to 32
    /// labels, each with a name and a value of 1 to 63 bytes. One that is said again replaces the value.
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.site.labels.insert(name.into(), value.into());
        self
    }

    /// Sets how many keys of each type this node takes beside others, 1 to 10,000. Default 100: a node with 200
    /// owns twice as many as one with 100.
    pub fn weight(mut self, weight: u32) -> Self {
        self.site.weight = weight;
        self
    }

    /// Hosts a service, a keyed actor type, or one that is [placed](Node::spawn_placed), that starts from `Default`.
    pub fn host<T: Handlers<Addressing: CanBeHosted<T>> + Begins>(self) -> Self {
        self.host_with(|_: &Ctx<T>| T::begun())
    }

    /// Hosts a service, a keyed actor type, or one that is [placed](Node::spawn_placed), that starts from what `make`
    /// returns.
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
                Kind::Spawned => spawning::host_placed::<T>(hub, guardian, factory),
                Kind::Service => hosting::host_service::<T>(hub, guardian, factory),
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

    /// Sets how long [`Node::stop`] waits for what is in flight: calls, and streams that have a deadline. Default 10 s.
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

    /// Sets after what time a voter that is gone loses its seat to another node, while this node leads.
    /// Default a minute. For tests and the simulator.
    #[doc(hidden)]
    pub fn voter_gone_max(mut self, gone_max: Duration) -> Self {
        self.gone_max = gone_max;
        self
    }

    /// Has the node say in its hello that it lacks these features, as a version before this one does. For
    /// tests.
    #[doc(hidden)]
    pub fn features_lacking(mut self, features: u64) -> Self {
        self.settings.features_lacking = features;
        self
    }

    /// Sets how many slots each group of keyed actors has, if this node forms the cluster. Default 4096.
    /// For tests and the simulator.
    #[doc(hidden)]
    pub fn slots(mut self, slots: SlotCount) -> Self {
        self.slots = slots;
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
            gone_max,
            slots,
            ownership,
            site,
        } = self;
        check_profile(&profile)?;
        site.check()?;
        settings.policy = spawning::policy(naming::policy(admin::policy(settings.policy)));
        let advertise = advertised(settings.advertise.as_ref())?;
        let made = new_hub(&settings, PeerKind::Node)?;
        let (hub, identity) = (made.hub, made.identity);
        let data_dir = made.data_dir.map(|dir| Arc::new(Mutex::new(dir)));
        let folder = settings.data_dir.take();
        let data = data_dir.as_ref().zip(folder.as_deref());
        let membership = Membership {
            grace,
            expect,
            profile,
            gone_max,
            slots,
            data: data.map(|(dir, folder)| Data::new(dir, folder)),
            heir_of: made.last_life,
            advertise,
            ownership,
            site,
        };
        let guardian = hosting::guardian(&hub, Strategy::OneForOne);
        // Nothing of the user's runs in a node that does not start: its port may be taken.
        guardian.hold();
        let mut hosting = hosting.into_iter();
        let hosted = hosting.try_for_each(|host| host(&hub, &guardian));
        let hosted = hosted.and_then(|()| hub.check_policy());
        let hosted = hosted.and_then(|()| naming::host(&hub, &guardian));
        let hosted = hosted.and_then(|()| spawning::host(&hub, &guardian));
        let hosted = hosted.and_then(|()| admin::host(&hub, &guardian));
        let opened = hosted.map_err(start_error).and_then(|reception| {
            let desk = membership.open(&hub, &identity, settings)?;
            reception.open(&desk);
            Ok(desk)
        });
        match opened {
            Ok(desk) => {
                guardian.release();
                hub.end_with_runtime(Some(guardian.clone()));
                pulse::watch(&hub);
                hub.tasks().spawn("names", naming::meet_peers(hub.clone()));
                Ok(Node::running(guardian, desk, data_dir))
            }
            Err(error) => {
                guardian.stop(Duration::ZERO).await;
                hub.shut().await;
                Err(error)
            }
        }
    }
}

/// Reads the address that others are told to dial.
fn advertised(written: Option<&HostPort>) -> Result<Option<SocketAddr>, StartError> {
    let addr = address("advertise", written)?;
    match addr.filter(|addr| addr.ip().is_unspecified() || addr.port() == 0) {
        None => Ok(addr),
        Some(addr) => Err(StartError::new(Code::ConfigInvalid, "advertise")
            .with_detail(format!("nobody can dial {addr}"))
            .with_advice("name the address and the port at which other nodes reach this one")),
    }
}

/// How a node takes part in a cluster.
struct Membership {
    /// How long the node waits for what is in flight.
    grace: Duration,
    expect: Option<u32>,
    profile: Profile,
    gone_max: Duration,
    slots: SlotCount,
    data: Option<Data>,
    heir_of: Option<Incarnation>,
    advertise: Option<SocketAddr>,
    /// What is fed from outside, in place of a control group.
    ownership: Option<Arc<Ownership>>,
    /// Where the node stands, without the roles of its certificate.
    site: Site,
}

impl Membership {
    /// Opens the node's port, and starts its part in the cluster.
    fn open(
        self,
        hub: &Arc<Hub>,
        identity: &Identity,
        settings: Settings,
    ) -> Result<Arc<Desk>, StartError> {
        let owner = Owner {
            node: hub.me().id,
            incarnation: hub.me().incarnation,
        };
        let driven = Arc::new(Ownership::new(owner));
        let ownership = self.ownership.unwrap_or_else(|| driven.clone());
        // BEFORE the port opens: a call that comes must not find that nobody places keys.
        hub.set_ownership(ownership.clone());
        let passage = Arc::<Passage>::default();
        let follow = slots::follow(hub.clone(), ownership.clone(), passage.clone());
        hub.tasks().spawn("slots", follow);
        let lives = end_lives(hub.clone(), ownership.clone());
        hub.tasks().spawn("lives", lives);
        let seen = tell_seen(hub.clone(), ownership.clone());
        hub.tasks().spawn("seen", seen);
        let (inbox, queue) = Inbox::new();
        let has_seeds = !settings.seeds.is_empty();
        let net = open(identity.clone(), settings, hub, inbox)?;
        let timed = Arc::clone(hub);
        let port = Arc::downgrade(&net);
        let site = Site {
            roles: identity.roles().iter().cloned().collect(),
            ..self.site
        };
        let parts = Parts {
            owner,
            heir_of: self.heir_of,
            clock: Arc::new(move || timed.lease_now()),
            expect: self.expect,
            has_seeds,
            seed_trouble: Arc::new(move || port.upgrade()?.seed_trouble()),
            is_development: identity.is_development(),
            profile: self.profile,
            gone_max: self.gone_max,
            slots: self.slots,
            data: self.data,
            about: About {
                name: identity.name().clone(),
                addr: self.advertise.unwrap_or(net.local_addr()),
                lacks: lacks(hub, &site),
                site,
                hosts: hub.directories().iter().map(|it| it.interface()).collect(),
                movable: movable(hub),
            },
        };
        let (driven, served) = ((driven, passage), ownership.clone());
        let cluster = Cluster::start(hub.env(), hub.tasks(), parts, driven, served, queue)?;
        Ok(Arc::new(Desk {
            hub: hub.clone(),
            net,
            cluster: Arc::new(cluster),
            ownership,
            cluster_name: identity.cluster().clone(),
            grace: self.grace,
            asked: Mutex::default(),
        }))
    }
}

fn start_error(error: CallError) -> StartError {
    StartError::new(error.code(), error.subject().to_string())
        .with_detail(error.detail().to_string())
}

fn persist_unsupported<T: Definition>() -> CallError {
    CallError::new(Code::PersistUnsupported, format!("actor {}", T::NAME))
        .with_detail("this version has no store for the state of actors")
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("listen", &self.settings.listen)
            .finish_non_exhaustive()
    }
}

/// Long enough for ordinary calls, short enough for a supervisor outside that kills after 30 s.
const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use callboard_macros::{Service, handlers};
    use callboard_protocol::id::{ClusterName, NodeName};

    use super::*;
    use crate::net::Authority;

    #[derive(Default, Service)]
    #[service(crate = crate)]
    pub(crate) struct Counter;

    #[handlers(crate = crate)]
    impl Counter {
        pub fn open(&self) {}
    }

    #[tokio::test]
    async fn a_rule_for_a_method_that_a_hosted_type_has_not_is_refused() {
        let cluster = ClusterName::new("test").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        for (pattern, starts) in [
            ("Counter/opne", false),
            ("Counter/open", true),
            ("Cellar/open", true),
        ] {
            let name = NodeName::new("n1").expect("a name");
            let identity = authority.issue(name, PeerKind::Node).expect("issued");
            let policy = Policy::deny_by_default().allow_anyone(pattern);
            let builder = Node::builder().identity(identity).policy(policy);
            match builder.host::<Counter>().start().await {
                Ok(node) => {
                    assert!(starts, "{pattern}");
                    node.stop().await;
                }
                Err(error) => {
                    assert!(!starts, "{pattern}: {error}");
                    assert_eq!(error.code(), Code::ConfigInvalid);
                    assert!(error.detail().contains("fits no method"), "{error}");
                }
            }
        }
    }

    #[test]
    fn an_address_that_nobody_can_dial_is_not_advertised() {
        let of = |addr: &str| {
            let addr = HostPort::from(addr);
            advertised(Some(&addr)).map_err(|error| error.code())
        };
        for addr in ["0.0.0.0:4001", "[::]:4001", "127.0.0.1:0"] {
            assert_eq!(of(addr), Err(Code::ConfigInvalid), "{addr}");
        }
        let addr = "127.0.0.1:4001".parse().expect("an address");
        assert_eq!(of("127.0.0.1:4001"), Ok(Some(addr)));
    }
}
