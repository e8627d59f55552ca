//! The links of one node or client, as the layers above see them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use callboard_protocol::code::Code;
use callboard_protocol::id::{Incarnation, NodeId};
use callboard_protocol::wire::control::{Control, MemberInfo};
use callboard_protocol::wire::hello::{About, Hello, HostedInterface, PeerKind, ProtocolRange};
use futures_util::future::{FutureExt, join_all};
use tokio::sync::watch;
use tokio::time::timeout;

use super::config::Config;
use super::deny::DenyList;
use super::endpoint::{self, Opened, Port};
use super::error::{LinkDown, StartError};
use super::identity::Identity;
use super::link::{Frames, Link};
use super::mesh::{Mesh, Parts};
use super::peers::SeedTrouble;
use super::reach;
use super::standstill::Standstill;
use super::trust::Trust;
use crate::env::Env;
use crate::task::Tasks;

/// What a node says of itself beside its identity.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// Where to listen; for a client, where to send from. Port 0 takes any free one.
    pub(crate) listen: SocketAddr,
    /// Where others can reach this node, if that is another address than it listens on.
    pub(crate) advertise: Option<SocketAddr>,
    /// The nodes to ask for the others.
    pub(crate) seeds: Vec<SocketAddr>,
    /// Those of them that are found by a name and a port.
    pub(crate) names: Vec<Arc<str>>,
    /// Which life of this node this is.
    pub(crate) incarnation: Incarnation,
    /// Optional abilities, one bit each.
    pub(crate) features: u64,
    /// What it hosts. Empty for a client.
    pub(crate) hosts: Vec<HostedInterface>,
    /// Who is not let in.
    pub(crate) denied: DenyList,
}

/// The links of one node or client. Dropping it closes them without a word; see
/// [`close`](Self::close).
pub(crate) struct Net {
    mesh: Arc<Mesh>,
    tasks: Tasks,
}

impl Net {
    /// Opens the port and starts to dial the seeds. It has to be called in a tokio runtime.
    ///
    /// # Errors
    /// - [`Code::ConfigInvalid`] if a setting is out of its range, or no seed can be dialled from
    ///   the address.
    /// - [`Code::CertificateInvalid`] if certificate and key do not fit, or it is not valid now.
    /// - [`Code::DevNotLoopback`] if a development identity would leave this machine.
    /// - [`Code::BindFailed`] if the address cannot be had.
    pub(crate) fn start(
        config: Config,
        env: Env,
        identity: &Identity,
        local: Local,
        tasks: &Tasks,
        frames: Arc<dyn Frames>,
    ) -> Result<Arc<Self>, StartError> {
        config.validate()?;
        identity.check_address(local.listen)?;
        let tasks = tasks.child("net");
        let is_node = identity.kind() == PeerKind::Node;
        let quic = tasks.child("quic");
        let Opened {
            endpoint,
            client,
            handshakes,
        } = endpoint::open(&config, &env, identity, local.listen, is_node, &quic)?;
        let local_addr = endpoint.local_addr().map_err(|error| {
            StartError::new(Code::BindFailed, format!("address {}", local.listen))
                .with_detail(error.to_string())
        })?;
        reach::check_seeds(local_addr, &local.seeds)?;
        local.advertise.map_or(Ok(()), reach::check_advertised)?;
        let addr = is_node.then(|| local.advertise.unwrap_or(local_addr));
        let hello = hello(identity, &local, addr, &config);
        let parts = Parts {
            config,
            env,
            hello,
            endpoint: Port::new(endpoint, local_addr),
            trust: Trust::new(handshakes, client, identity.development(), local.denied),
            frames,
            seeds: local.seeds,
            names: local.names.clone(),
        };
        let mesh = Mesh::new(parts, &tasks);
        for name in local.names {
            mesh.intake.spawn("name", Arc::clone(&mesh).follow(name));
        }
        mesh.intake.spawn("peers", Arc::clone(&mesh).drive());
        if is_node {
            tasks.spawn("accept", Arc::clone(&mesh).accept());
        }
        Ok(Arc::new(Self { mesh, tasks }))
    }

    /// Returns what is told when this process was looked at.
    pub(crate) fn standstill(&self) -> Arc<Standstill> {
        Arc::clone(&self.mesh.standstill)
    }

    /// Returns the address that the port is bound to.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.mesh.endpoint.local_addr()
    }

    /// Returns all links that are up, to nodes and to clients, as they are now.
    pub(crate) fn links(&self) -> Arc<Vec<Arc<Link>>> {
        self.mesh.all_links()
    }

    /// Returns the nodes of the cluster that are linked, ordered by id, without this one.
    pub(crate) fn members(&self) -> Vec<MemberInfo> {
        self.mesh.linked_members()
    }

    /// Takes in the members of the cluster as its control group knows them, in place of those before.
    /// They are dialled although no linked node may be linked with them.
    pub(crate) fn know(&self, members: Vec<MemberInfo>) {
        self.mesh.know(members);
    }

    /// Returns how often connections were refused or lost, by code.
    pub(crate) fn refusals(&self) -> BTreeMap<Code, u64> {
        self.mesh.refusals.read()
    }

    /// Returns how many streams of peers were given up before they said what they are for.
    pub(crate) fn strays(&self) -> u64 {
        self.mesh.strays.load(Ordering::Relaxed)
    }

    /// Returns how many diallers were asked to prove their address.
    pub(crate) fn asked(&self) -> u64 {
        self.mesh.asked.load(Ordering::Relaxed)
    }

    /// Shows another identity in the handshakes that begin from now on; links stay.
    ///
    /// # Errors
    /// [`Code::CertificateInvalid`] if it is another node's or client's, or does not fit its key;
    /// [`Code::DevNotLoopback`]. Nothing was changed.
    pub(crate) fn rotate(&self, identity: &Identity) -> Result<(), StartError> {
        let (mesh, me) = (&self.mesh, &self.mesh.hello.about);
        mesh.trust.rotate(identity, me, &mesh.endpoint)
    }

    /// Denies those on the list, and no others: their links are closed, and no new ones come up.
    pub(crate) fn deny(&self, list: DenyList) {
        self.mesh.deny(list);
    }

    /// Returns what tells that a link has come up, or that a dial has failed.
    pub(crate) fn link_changes(&self) -> watch::Receiver<()> {
        self.mesh.changed.subscribe()
    }

    /// Returns whether a node is known that is not linked, that was not linked before, and that has not been
    /// dialled in vain.
    pub(crate) fn is_settling(&self) -> bool {
        self.mesh.peers().is_settling()
    }

    /// Returns whether any other node is dialled until it is linked, as it was named as a seed.
    pub(crate) fn has_seeds(&self) -> bool {
        !self.mesh.seeds_tried().is_empty() || self.mesh.names.any()
    }

    /// Returns why no seed is linked, if more is known than that none has answered.
    pub(crate) fn seed_trouble(&self) -> Option<SeedTrouble> {
        self.mesh.peers().seed_trouble()
    }

    /// Waits until a first node is linked.
    ///
    /// # Errors
    /// - The code of the refusal, if every seed refuses this side for good: another cluster,
    ///   another authority, no common version.
    /// - [`Code::SeedUnreachable`] if there is no link `within` that time.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) async fn first_link(&self, within: Duration) -> Result<(), StartError> {
        let waited = timeout(within, async {
            let mut changes = self.link_changes();
            loop {
                // BEFORE looking, so that a change after the look is not missed.
                changes.mark_unchanged();
                let is_node = |link: &Arc<Link>| link.peer().kind == PeerKind::Node;
                if self.links().iter().any(is_node) {
                    return Ok(());
                }
                if let Some((addr, why)) = self.mesh.refused_by_all()
                    && self.mesh.names.are_found()
                {
                    return Err(
                        StartError::new(why.code, format!("seed {addr}")).with_detail(why.detail)
                    );
                }
                if changes.changed().await.is_err() {
                    return Err(self.unreachable(within));
                }
            }
        });
        waited
            .await
            .unwrap_or_else(|_| Err(self.unreachable(within)))
    }

    /// Waits until the nodes that the linked ones have named are linked too, or were dialled in vain; `within` that time.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) async fn named_links(&self, within: Duration) {
        let all = async {
            let mut changes = self.link_changes();
            loop {
                // BEFORE looking, so that a change after the look is not missed.
                changes.mark_unchanged();
                if !self.mesh.peers().awaits_named() || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // What is not there by then may come later.
        let _ = timeout(within, all).await;
    }

    fn unreachable(&self, within: Duration) -> StartError {
        let tried = self.mesh.seeds_tried().into_iter();
        let tried = tried.map(|(addr, why)| match why {
            Some(why) => format!("{addr}: {why}"),
            None => format!("{addr}: nothing has answered yet"),
        });
        let unnamed = self.mesh.names.failures();
        let unnamed = unnamed
            .iter()
            .map(|(name, why)| format!("{name}: {}", why.detail));
        let tried: Vec<_> = tried.chain(unnamed).collect();
        let detail = match tried.is_empty() {
            true => format!("no link within {within:?}"),
            false => format!("no link within {within:?}; {}", tried.join("; ")),
        };
        StartError::new(Code::SeedUnreachable, "seeds").with_detail(detail)
    }

    /// Begins to leave: takes no new links, and tells the peers to send no new calls. Links stay up.
    ///
    /// # Cancel safety
    /// Dropping it may leave peers untold; call it again.
    pub(crate) async fn leave(&self) {
        self.mesh.intake.stop(INTAKE_GRACE).await;
        for link in self.links().iter() {
            self.mesh.say(link, &Control::Leaving);
        }
    }

    /// Waits until every peer has taken in what was said to it so far, that this side leaves above all, or its
    /// link is down. Returns whether that was so `within` that time.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) async fn heard_by_all(&self, within: Duration) -> bool {
        let links = self.links();
        let heard = links.iter().map(|link| {
            // It is answered in the order of the lane, AFTER what was said before.
            let number = link.next_ping();
            self.mesh.say(link, &Control::Ping(number));
            link.answered(number)
        });
        timeout(within, join_all(heard)).await.is_ok()
    }

    /// Closes: [leaves](Self::leave), sends what is in the lanes, then closes the links.
    ///
    /// It takes up to `grace` for the lanes and a moment for the goodbyes. Links that are down
    /// afterwards have been reported as such, and the port is free.
    ///
    /// # Cancel safety
    /// Dropping it leaves links open; drop the [`Net`] too.
    pub(crate) async fn close(&self, reason: &str, grace: Duration) {
        self.leave().await;
        let links = self.links();
        for link in links.iter() {
            link.finish();
        }
        let mut flushed = pin!(join_all(links.iter().map(|link| link.flushed())));
        let told_after = FLUSH_TOLD_AFTER.min(grace);
        if timeout(told_after, &mut flushed).await.is_err() {
            let left = grace.saturating_sub(told_after);
            tell_unflushed(&links, left);
            if timeout(left, flushed).await.is_err() {
                tracing::warn!(
                    ?grace,
                    "the grace is over, and not all peers have taken in what was sent to them"
                );
            }
        }
        for link in links.iter() {
            link.close(LinkDown::new(Code::NodeLeaving, reason));
        }
        // They end by themselves now, once they have told the layer above.
        self.mesh.sessions.stop(SESSION_GRACE).await;
        self.mesh.endpoint.close(reason);
        if let Some(endpoint) = self.mesh.endpoint.endpoint() {
            // The goodbyes have left; what is waited for is to repeat one that was lost, for a peer
            // that still sends.
            let _ = timeout(grace.min(GOODBYE_MAX), endpoint.wait_idle()).await;
        }
        self.tasks.stop(Duration::ZERO).await;
        self.mesh.endpoint.let_go();
    }

    /// Lets go of the port, which nothing needs any more.
    pub(crate) fn let_go(&self) {
        self.mesh.endpoint.let_go();
    }
}

/// Says whom the end waits for, and for how long at most.
fn tell_unflushed(links: &[Arc<Link>], left: Duration) {
    let waits = |link: &&Arc<Link>| link.flushed().now_or_never().is_none();
    let slow: Vec<_> = links
        .iter()
        .filter(waits)
        .map(|link| link.peer().name.to_string())
        .collect();
    if !left.is_zero() && !slow.is_empty() {
        tracing::warn!(
            peers = slow.join(", "),
            "the stop waits, for {left:.1?} at most, until these peers have taken in what was sent to them: they do not answer; \
             one whose process has ended without `stop` or `close` is waited for until it is taken for lost"
        );
    }
}

/// An end that waits for its peers for longer than this makes whoever waits for it wonder.
const FLUSH_TOLD_AFTER: Duration = Duration::from_secs(1);

impl Drop for Net {
    fn drop(&mut self) {
        self.tasks.token().cancel();
        self.mesh.endpoint.close("");
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("name", &self.mesh.hello.about.name)
            .finish_non_exhaustive()
    }
}

fn hello(identity: &Identity, local: &Local, listen: Option<SocketAddr>, config: &Config) -> Hello {
    Hello {
        protocol: ProtocolRange::OURS,
        about: About {
            cluster: identity.cluster().clone(),
            name: identity.name().clone(),
            id: NodeId::of(identity.name()),
            incarnation: local.incarnation,
            kind: identity.kind(),
            features: local.features,
            lanes: config.lanes,
            frame_bytes_max: config.limits.frame_bytes_max,
            body_bytes_max: config.limits.body_bytes_max,
            listen,
            hosts: local.hosts.clone(),
        },
    }
}

/// QUIC keeps a closed connection for three times what it takes a lost packet for (RFC 9000,
/// section 10.2). That is seconds where a peer stood still for a while, or was never reached; on a
/// path that works this is enough for one round trip.
const GOODBYE_MAX: Duration = Duration::from_millis(250);

/// A session ends as soon as the tasks of its link have seen the end of the connection.
const SESSION_GRACE: Duration = Duration::from_secs(10);

/// Dials and greetings end at once when they are asked to; this is for the others of the group.
const INTAKE_GRACE: Duration = Duration::from_secs(1);
