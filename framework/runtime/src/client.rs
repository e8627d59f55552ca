//! A client: calls into a cluster and hosts nothing.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use callboard_protocol::{
    code::{CallError, Code},
    slots::Owner,
    wire::hello::PeerKind,
};

use crate::{
    admin::{self, AdminRef},
    call::{
        CallLimits, Definition, Hub, Reference, end_lives,
        kind::{CanBeSpawned, KeyOf, PlacedByLoad, PlacedByName, ReachedByKey, ReachedByType},
        tell_seen,
    },
    cluster::{Inbox, Ownership, follow},
    ending::Ending,
    env::Env,
    net::{self, Address, Addresses, DenyList, Identity, Net, StartError},
    node::{Member, members, pulse},
    service::{Spawning, hosting, naming, spawning},
    settings::{Settings, new_hub, open},
};

/// A process's way into a cluster.
///
/// A clone is cheap, and is the same client, which lasts until one of them is [closed](Client::close). Dropping the last
/// clone without that ends its links at once; peers notice by their timers.
#[derive(Clone)]
pub struct Client(Arc<Connected>);

/// What the clones of a client share, and nothing else holds: its drop is that of the last clone.
struct Connected {
    hub: Arc<Hub>,
    net: Arc<Net>,
    ending: Ending,
}

/// What a client is made of. Made by [`Client::builder`].
#[must_use = "a builder does nothing until `connect` is awaited"]
pub struct ClientBuilder {
    settings: Settings,
    wait: Duration,
}

impl Client {
    /// Connects through the node at this address, such as `"127.0.0.1:4001"`, or of this name, with an identity of the development authority.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing of the client is left.
    pub async fn connect(seed: impl Address) -> Result<Self, StartError> {
        Self::builder().seed(seed).connect().await
    }

    /// Begins to build a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            settings: Settings::default(),
            wait: CONNECT_WAIT,
        }
    }

    /// Returns the ref of a service. Calls through it go to the less loaded of two hosts drawn at
    /// random.
    #[must_use]
    pub fn service<T: Definition<Addressing: ReachedByType<T>>>(&self) -> T::Ref {
        hosting::service_ref::<T>(&self.0.hub)
    }

    /// Returns the ref of the actor with this key. Calls through it go straight to the node that owns
    /// the key's slot, and wait for an owner within their deadline while there is none: `SlotUnowned`.
    /// Where no control group places keys they fail with `KeyedElsewhere`: keyed actors are then
    /// reached on the nodes that host them.
    #[must_use]
    pub fn actor<T: Definition<Addressing: ReachedByKey<T>>>(
        &self,
        key: impl KeyOf<T, <T::Addressing as ReachedByKey<T>>::Key>,
    ) -> T::Ref {
        hosting::keyed_ref::<T>(&self.0.hub, key.into().into())
    }

    /// Finds the spawned actor that has a name, on whatever node it runs. It costs a small call to each linked node;
    /// so keep the ref, which is good until the actor ends, and look the name up again when a call of it says
    /// that it is gone.
    ///
    /// # Errors
    /// By code: `NameUnknown`, with the nodes that were asked; `NameOfOtherType` if the actor is not a `T`;
    /// `NameInvalid`; `NoHost` without a link to any node; `NodeStopping` on a client that is closed.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn named<T: Definition<Addressing: CanBeSpawned<T>>>(
        &self,
        name: impl AsRef<str> + Send,
    ) -> Result<T::Ref, CallError> {
        naming::find::<T>(&self.0.hub, name.as_ref()).await
    }

    /// Makes an actor on a node that hosts its type, by load, as [`Node::spawn_placed`](crate::Node::spawn_placed) does, on
    /// nodes whose policy has a rule that lets clients: `allow("callboard.spawns_of_clients/Room", ["host"])`.
    ///
    /// # Errors
    /// As [`Node::spawn_placed`](crate::Node::spawn_placed); `Forbidden` where no rule lets this client.
    ///
    /// # Cancel safety
    /// As [`Node::spawn_placed`](crate::Node::spawn_placed).
    pub fn spawn_placed<T: Definition<Addressing: PlacedByLoad<T>>>(&self) -> Spawning<T::Ref> {
        spawning::spawn_placed::<T>(&self.0.hub)
    }

    /// Makes an actor on the node of this name, as [`Node::spawn_on`](crate::Node::spawn_on) does, if the node's policy has
    /// a rule that lets clients: `allow("callboard.spawns_of_clients/Room", ["host"])`.
    ///
    /// # Errors
    /// As [`Node::spawn_on`](crate::Node::spawn_on); `Forbidden` where no rule lets this client.
    ///
    /// # Cancel safety
    /// As [`Node::spawn_placed`](crate::Node::spawn_placed).
    pub fn spawn_on<T: Definition<Addressing: PlacedByName<T>>>(
        &self,
        node: impl Into<String>,
    ) -> Spawning<T::Ref> {
        spawning::spawn_on::<T>(&self.0.hub, node.into())
    }

    /// Returns the ref of the [admin service](crate::admin) of one node alone. A ref of any node's is
    /// `service::<Admin>()`.
    #[must_use]
    pub fn admin(&self, of: &Member) -> AdminRef {
        admin::of_node(&self.0.hub, of.id, of.incarnation)
    }

    /// Attaches a ref that was decoded outside a call to this client.
    #[must_use]
    pub fn attach<R: Reference>(&self, target: R) -> R {
        R::from_raw(R::as_raw(&target).clone().attached(self.0.hub.clone()))
    }

    /// Returns the members that a link is up with, in the order of their ids.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        members(&self.0.net)
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

    /// Denies the nodes on the list, and no others: links with them are closed at
    /// once, and no new ones come up. Both sides are told `PeerDenied`. The list replaces the last one
    /// and is kept nowhere else; give it to the builder when it has to hold from the start.
    pub fn deny(&self, list: DenyList) {
        self.0.net.deny(list);
    }

    /// Returns the metrics in the OpenMetrics text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        crate::usage::metrics(&self.0.hub, &self.0.net)
    }

    /// Returns how much is held of everything that has a bound. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn usage(&self) -> Vec<crate::usage::Held> {
        crate::usage::usage(&self.0.hub, &self.0.net)
    }

    /// Returns how many messages wait in each mailbox. For the simulator.
    #[doc(hidden)]
    #[must_use]
    pub fn mailboxes(&self) -> Vec<(String, u64)> {
        crate::usage::mailboxes(&self.0.hub)
    }

    /// Closes the links. Calls in flight end with `PeerLost`, later ones with `NodeStopping`.
    ///
    /// Each clone of the client may call it, also at the same time: all of them return when the links are closed, and a call
    /// after that returns at once. It returns nothing, as nothing in it fails.
    ///
    /// # Cancel safety
    /// Dropping it only ends the wait: the client goes on closing for as long as a clone of it is kept.
    pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        let client = self.0.clone();
        async move {
            if !client.hub.is_adrift() {
                client.ending.run(|| client.end()).await;
            }
            // Also where the runtime has ended meanwhile, and the end with it.
            client.net.let_go();
        }
    }
}

impl Connected {
    /// Makes what closes the client. It holds the parts and not the client, which ends with its last clone.
    fn end(&self) -> impl Future<Output = ()> + Send + 'static {
        let (hub, net) = (self.hub.clone(), self.net.clone());
        async move {
            hub.set_stopping();
            net.close("the client closed", CLOSE_GRACE).await;
            hub.shut().await;
        }
    }
}

impl ClientBuilder {
    /// Adds the address of a node to connect through, or its name, such as `"node1.internal:4001"`,
    /// which is looked up before each try.
    pub fn seed(mut self, seed: impl Address) -> Self {
        self.settings.seeds.push(seed.into());
        self
    }

    /// Adds several seeds; one that answers is enough.
    pub fn seeds(mut self, seeds: impl Addresses) -> Self {
        self.settings
            .seeds
            .extend(seeds.into_iter().map(Into::into));
        self
    }

    /// Sets the name for an identity of the development authority. Default: a random one.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = Some(name.into());
        self
    }

    /// Sets who the client is. Default: an identity of the development authority.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.settings.identity = Some(identity);
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

    /// Sets the address that the client sends from. Default: a free port, of any address with
    /// certificates of your own, of loopback with those of the development authority.
    pub fn bind(mut self, addr: impl Address) -> Self {
        self.settings.listen = Some(addr.into());
        self
    }

    /// Sets who is not let in from the start; see [`Client::deny`]. Default: nobody.
    pub fn deny(mut self, list: DenyList) -> Self {
        self.settings.denied = list;
        self
    }

    /// Sets how long [`connect`](Self::connect) waits for the first link. Default 10 s. The others are waited for
    /// for a second, whatever this is.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets the share of calls, 0 to 1, that begin a trace. Default 0.
    pub fn trace_share(mut self, share: f64) -> Self {
        self.settings.trace_share = share;
        self
    }

    /// Sets what the client gets from outside. Default: the operating system.
    pub fn env(mut self, env: Env) -> Self {
        self.settings.env = env;
        self
    }

    /// Connects: returns when a first link is up, and those with the nodes that this one names, which are waited for
    /// for a second at most. What comes later comes up in the background; a call of a service that none of the linked
    /// nodes can take waits for them, for a second at most.
    ///
    /// # Errors
    /// [`StartError`] by code: `ConfigInvalid` without a seed; `SeedUnreachable` when no seed answered in time, which says for each
    /// why; a refusal of the link (`ClusterMismatch`, `AuthorityUnknown`, …) when a seed refused;
    /// and those of [`Builder::start`](crate::node::Builder::start) but for hosting.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, nothing of the client is left.
    pub async fn connect(self) -> Result<Client, StartError> {
        let Self { settings, wait } = self;
        if settings.seeds.is_empty() {
            return Err(StartError::new(Code::ConfigInvalid, "seeds")
                .with_detail("there are none, and a client finds the cluster through one")
                .with_advice("name the address of a node: `.seed(address)`"));
        }
        let made = new_hub(&settings, PeerKind::Client)?;
        let hub = made.hub;
        let ownership = Arc::new(Ownership::new(Owner {
            node: hub.me().id,
            incarnation: hub.me().incarnation,
        }));
        // Until it is known that nobody places keys, a call waits for whoever does.
        ownership.expect();
        hub.set_ownership(ownership.clone());
        let lives = end_lives(hub.clone(), ownership.clone());
        hub.tasks().spawn("lives", lives);
        let seen = tell_seen(hub.clone(), ownership.clone());
        hub.tasks().spawn("seen", seen);
        let (inbox, queue) = Inbox::new();
        let net = open(made.identity, settings, &hub, inbox).inspect_err(|_| hub.end())?;
        let timed = hub.clone();
        let following = follow(
            ownership,
            move || timed.now(),
            hub.env().entropy.next_u64(),
            queue,
            Arc::downgrade(&net),
            hub.tasks().token().clone(),
        );
        hub.tasks().spawn("following", following);
        hub.end_with_runtime(None);
        pulse::watch(&hub);
        let ending = Ending::new(&format!("{}/end", hub.me().name));
        let client = Client(Arc::new(Connected { hub, net, ending }));
        match client.0.net.first_link(wait).await {
            Ok(()) => {
                // A call of an actor goes to its node alone, and does not wait for a link.
                client.0.net.named_links(OTHERS_WAIT).await;
                Ok(client)
            }
            Err(error) => {
                client.close().await;
                Err(error)
            }
        }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.hub.end_dropped();
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.0.hub.me().name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("seeds", &self.settings.seeds)
            .finish_non_exhaustive()
    }
}

/// How long a first link may take: several tries of a lost packet.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long the nodes that the first one names are waited for: a handshake takes far less where they answer.
const OTHERS_WAIT: Duration = Duration::from_secs(1);

/// A client has nothing to drain.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use callboard_protocol::id::{ClusterName, NodeName};

    use super::*;
    use crate::{Node, net::Authority};

    #[tokio::test]
    async fn a_client_cannot_say_that_an_actor_of_its_own_has_a_name() {
        let cluster = ClusterName::new("test").expect("a name");
        let authority = Authority::throw_away(cluster).expect("an authority");
        let issue = |name: &str, kind| {
            let name = NodeName::new(name).expect("a name");
            authority.issue(name, kind).expect("issued")
        };
        let node = Node::builder().identity(issue("n2", PeerKind::Node));
        let node = node.start().await.expect("starts");
        // It has the name of a node, so that only its certificate tells it from that.
        let client = Client::builder().identity(issue("n1", PeerKind::Client));
        let client = client.seed(node.local_addr()).connect().await;
        let client = client.expect("connects");
        naming::tests::a_stranger_is_refused(&client.0.hub).await;
        client.close().await;
        node.stop().await;
    }
}
