//! Drives [`peers`](super::peers): dials, accepts, brings links up and takes them down.
//!
//! Decisions are in `peers`, first words in `handshake`, a link's tasks in `session`; this module
//! joins them and keeps the list of links. [`Net`](super::Net) is its owner and outer face.

mod ending;
mod hearsay;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use callboard_protocol::code::Code;
use callboard_protocol::id::NodeId;
use callboard_protocol::wire::control::{Control, MemberInfo};
use callboard_protocol::wire::hello::{Hello, PeerKind};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::close;
use super::config::Config;
use super::deny::DenyList;
use super::endpoint::Port;
use super::error::{AppendError, LinkDown};
use super::handshake::{ControlReader, Greeted, greet, malformed, write_error};
use super::link::{Frames, Link, PeerInfo};
use super::names::{Moved, Names};
use super::peers::{Admission, Candidate, Dialled, Me, Notice, Peers, Refused, Target};
use super::reach;
use super::session;
use super::standstill::Standstill;
use super::stats::Refusals;
use super::strangers::Strangers;
use super::trust::Trust;
use crate::env::Env;
use crate::task::Tasks;

/// What the tasks of a node's links share.
pub(super) struct Mesh {
    pub(super) config: Config,
    pub(super) env: Env,
    pub(super) hello: Hello,
    pub(super) endpoint: Port,
    pub(super) trust: Trust,
    pub(super) frames: Arc<dyn Frames>,
    /// Accepting, dialling and greeting.
    pub(super) intake: Tasks,
    /// Tells those who dial a node that leaves.
    farewells: Tasks,
    /// One task for each link, which takes it down.
    pub(super) sessions: Tasks,
    /// The tasks of each link, a group each.
    pub(super) links: Tasks,
    pub(super) refusals: Refusals,
    strangers: Strangers,
    /// Streams of peers that were given up before they said what they are for.
    pub(super) strays: AtomicU64,
    /// Diallers that were asked to prove their address.
    pub(super) asked: AtomicU64,
    pub(super) names: Names,
    pub(super) standstill: Arc<Standstill>,
    /// Tells those who wait for a link: one came up, or a dial failed.
    pub(super) changed: watch::Sender<()>,
    peers: Mutex<Peers<Arc<Link>>>,
    /// The links that are up, as a snapshot that is replaced on each change.
    directory: RwLock<Arc<Vec<Arc<Link>>>>,
    /// Wakes the driver: `peers` has something to do.
    news: Notify,
    last_session: AtomicU64,
    pending: AtomicUsize,
}

/// What a mesh is made of.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) env: Env,
    pub(super) hello: Hello,
    pub(super) endpoint: Port,
    pub(super) trust: Trust,
    pub(super) frames: Arc<dyn Frames>,
    pub(super) seeds: Vec<SocketAddr>,
    pub(super) names: Vec<Arc<str>>,
}

impl Mesh {
    pub(super) fn new(parts: Parts, tasks: &Tasks) -> Arc<Self> {
        let about = &parts.hello.about;
        let me = Me {
            id: about.id,
            incarnation: about.incarnation,
            kind: about.kind,
        };
        let standstill = Arc::new(Standstill::new(&parts.config));
        let peers = Peers::new(me, &parts.config, &parts.seeds, parts.env.clock.now());
        Arc::new(Self {
            config: parts.config,
            env: parts.env,
            hello: parts.hello,
            endpoint: parts.endpoint,
            trust: parts.trust,
            frames: parts.frames,
            intake: tasks.child("intake"),
            farewells: tasks.child("farewells"),
            sessions: tasks.child("sessions"),
            links: tasks.child("links"),
            refusals: Refusals::default(),
            strangers: Strangers::default(),
            strays: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            names: Names::new(&parts.seeds, &parts.names),
            standstill,
            changed: watch::Sender::new(()),
            peers: Mutex::new(peers),
            directory: RwLock::default(),
            news: Notify::new(),
            last_session: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
        })
    }

    /// Carries out what `peers` decides, until the intake stops.
    pub(super) async fn drive(self: Arc<Self>) {
        let mut told = self.peers().version();
        loop {
            let now = self.env.clock.now();
            while let Some(target) = self.poll_dial(now) {
                self.intake.spawn("dial", Arc::clone(&self).dial(target));
            }
            while let Some(notice) = self.poll_notice() {
                notice.log(&self.hello.about.name);
                if let Some((id, word)) = notice.word() {
                    self.tell_node(id, &word);
                }
            }
            let version = self.peers().version();
            if version != told {
                told = version;
                self.tell_members();
            }
            let deadline = self.peers().next_deadline();
            // Both branches are cancel safe: a permit of `news` is kept, a sleep is made anew.
            tokio::select! {
                biased;
                () = self.intake.token().cancelled() => return,
                () = self.news.notified() => {}
                () = sleep_until(deadline) => {}
            }
        }
    }

    /// Accepts connections until the port is closed. Those that come once the intake stops are told
    /// that the node leaves: unanswered, they would look for another reason.
    pub(super) async fn accept(self: Arc<Self>) {
        let Some(endpoint) = self.endpoint.endpoint() else {
            return;
        };
        while let Some(incoming) = endpoint.accept().await {
            let pending = self.pending.load(Ordering::Relaxed);
            if pending >= self.config.pending_max {
                self.refusals.count(Code::TooManyPeers);
                incoming.refuse();
            } else if pending >= self.config.retry_above && incoming.may_retry() {
                self.asked.fetch_add(1, Ordering::Relaxed);
                // It fails only where no retry is possible, which was asked.
                let _ = incoming.retry();
            } else {
                match incoming.accept() {
                    Ok(connecting) if self.intake.token().is_cancelled() => {
                        self.farewells
                            .spawn("farewell", Arc::clone(&self).turn_away(connecting));
                    }
                    Ok(connecting) => {
                        self.intake
                            .spawn("greet", Arc::clone(&self).meet_dialler(connecting));
                    }
                    // Its first packet was enough to refuse it: another protocol, say.
                    Err(error) => self.refusals.count(close::reason(&error).code),
                }
            }
        }
    }

    /// Returns all links that are up.
    pub(super) fn all_links(&self) -> Arc<Vec<Arc<Link>>> {
        Arc::clone(
            &self
                .directory
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(super) fn linked_members(&self) -> Vec<MemberInfo> {
        self.peers().linked_members()
    }

    pub(super) fn seeds_tried(&self) -> Vec<(SocketAddr, Option<LinkDown>)> {
        self.peers().seeds_tried()
    }

    /// Returns whether the node at one of the addresses is linked.
    pub(super) fn has_link_to(&self, addrs: &BTreeSet<SocketAddr>) -> bool {
        let peers = self.peers();
        addrs.iter().any(|addr| peers.is_linked_seed(*addr))
    }

    /// Takes in that what the name of a seed stands for has changed.
    pub(super) fn move_seeds(&self, moved: Moved) {
        let now = self.env.clock.now();
        let mut peers = self.peers();
        for addr in moved.gone {
            peers.forget_seed(addr);
        }
        for addr in moved.new {
            peers.handle_seed(addr, now);
        }
        drop(peers);
        self.news.notify_one();
    }

    pub(super) fn refused_by_all(&self) -> Option<(SocketAddr, LinkDown)> {
        self.peers().refused_by_all()
    }

    /// Sends a control frame. A peer that does not read its control lane is closed.
    pub(super) fn say(&self, link: &Link, frame: &Control) {
        let limits = &self.config.limits;
        let appended = link
            .control
            .append_whole(|out| frame.encode(out, limits).map_err(AppendError::Encode));
        match appended {
            Ok(_) | Err(AppendError::Down) => {}
            Err(error) => {
                let detail = format!("its control lane takes no frames: {error:?}");
                link.close(LinkDown::new(Code::PeerLost, detail));
            }
        }
    }

    /// Denies those on the list from now on, and closes the links with them.
    pub(super) fn deny(&self, list: DenyList) {
        // BEFORE the links are looked at: one that comes up later asks for itself.
        self.trust.deny(list);
        for link in self.all_links().iter() {
            if let Some(why) = self.denial(link.peer()) {
                link.close(why);
            }
        }
    }

    fn denial(&self, peer: &PeerInfo) -> Option<LinkDown> {
        self.trust.denial(peer, &self.hello.about)
    }

    /// Takes a link that is down out of the directory.
    pub(super) fn take_out(&self, link: &Arc<Link>) {
        self.change_directory(|links| links.retain(|other| other != link));
    }

    fn poll_dial(&self, now: Instant) -> Option<Target> {
        self.peers().poll_dial(now)
    }

    fn poll_notice(&self) -> Option<Notice> {
        self.peers().poll_notice()
    }

    async fn dial(self: Arc<Self>, target: Target) {
        let result = match self.connect(target.addr).await {
            Ok(node) => Dialled::Linked(node),
            Err(refused) => {
                tracing::debug!(addr = %target.addr, why = %refused.why, "dial failed");
                self.refusals.count(refused.why.code);
                if let Some(met) = &refused.peer {
                    self.frames.link_refused(met.id, &met.name, &refused.why);
                }
                Dialled::Failed(refused)
            }
        };
        let (now, random) = (self.env.clock.now(), self.env.entropy.next_u64());
        self.peers().handle_dialled(target, result, now, random);
        self.news.notify_one();
        self.changed.send_replace(());
    }

    async fn connect(self: &Arc<Self>, addr: SocketAddr) -> Result<NodeId, Refused> {
        reach::check_dial(self.endpoint.local_addr(), addr)?;
        let connecting = self.endpoint.dial(self.trust.client(), addr)?;
        let within = self.config.dial_timeout;
        let met = self.meet(connecting, within, true).await;
        met.map_err(|mut refused| {
            refused.why = self.trust.explain(refused.why);
            refused
        })
    }

    async fn meet_dialler(self: Arc<Self>, connecting: quinn::Connecting) {
        let _pending = Pending::new(&self);
        let addr = connecting.remote_address();
        let within = self.config.hello_timeout;
        if let Err(refused) = self.meet(connecting, within, false).await {
            let (now, why) = (self.env.clock.now(), &refused.why);
            match why.code {
                Code::AuthorityUnknown => self.strangers.warn(addr, why, &self.trust, now),
                _ => tracing::info!(%addr, %why, "connection refused"),
            }
            self.refusals.count(why.code);
            self.peers().handle_refused(addr, &refused, now);
            self.news.notify_one();
        }
    }

    /// Tells a dialler that this node leaves. The handshake comes first: before its end, QUIC carries
    /// no reason.
    async fn turn_away(self: Arc<Self>, connecting: quinn::Connecting) {
        let _pending = Pending::new(&self);
        if let Ok(Ok(connection)) = timeout(self.config.hello_timeout, connecting).await {
            let why = LinkDown::new(Code::NodeLeaving, "it is stopping");
            close::close(&connection, &why);
        }
    }

    /// Brings a connection from its TLS handshake to a link.
    async fn meet(
        self: &Arc<Self>,
        connecting: quinn::Connecting,
        within: Duration,
        dialled: bool,
    ) -> Result<NodeId, Refused> {
        let stopping = || LinkDown::new(Code::NodeStopping, "");
        let (local, addr) = (self.endpoint.local_addr(), connecting.remote_address());
        let unanswered = |within| reach::unanswered(local, addr, within, dialled);
        let stop = self.intake.token();
        let connected = stop.run_until_cancelled(timeout(within, connecting)).await;
        let connection = match connected.ok_or_else(stopping)? {
            Ok(Err(quinn::ConnectionError::TimedOut)) => {
                return Err(unanswered(self.config.peer_timeout).into());
            }
            Ok(connected) => connected.map_err(|error| LinkDown::from(&error))?,
            Err(_) => return Err(unanswered(within).into()),
        };
        // A hello that is cut off by the stop loses a connection that is closed here anyway.
        let met = stop
            .run_until_cancelled(self.introduce(&connection, dialled))
            .await;
        met.unwrap_or_else(|| Err(stopping().into()))
            .map_err(|mut refused| {
                // The peer's own reason is the better one, where it was first.
                if let Some(error) = connection.close_reason() {
                    refused.why = LinkDown::from(&error);
                    refused.by_peer = true;
                }
                close::close(&connection, &refused.why);
                refused
            })
    }

    /// Makes the connection a link, or says why not once the other side can know it too.
    async fn introduce(
        self: &Arc<Self>,
        connection: &quinn::Connection,
        dialled: bool,
    ) -> Result<NodeId, Refused> {
        let refused = match self.greet_and_admit(connection, dialled).await {
            Ok(peer) => return Ok(peer),
            Err(refused) => refused,
        };
        let me = self.hello.about.id;
        if !dialled && refused.peer.as_ref().is_some_and(|peer| peer.id == me) {
            // A close would overtake our hello, by which the dialler tells itself from a namesake.
            // It comes to the same end as this side, and closes then.
            let _ = timeout(VERDICT_MAX, connection.closed()).await;
        }
        Err(refused)
    }

    async fn greet_and_admit(
        self: &Arc<Self>,
        connection: &quinn::Connection,
        dialled: bool,
    ) -> Result<NodeId, Refused> {
        let within = self.config.hello_timeout;
        let agreed = timeout(within, async {
            let limits = &self.config.limits;
            let mut hello = self.hello.clone();
            hello.about.features |= self.frames.features();
            let withdrawn = self.frames.withdrawn();
            hello.about.hosts.retain(|it| !withdrawn.contains(&it.id));
            let mut greeted = greet(connection, &hello, dialled, limits).await?;
            let candidate = candidate(&greeted);
            if let Some(why) = self.denial(&greeted.peer) {
                return Err(candidate.refused(why));
            }
            match self.agree(&mut greeted, &candidate).await {
                Ok(members) => Ok((greeted, candidate, members)),
                Err(why) => Err(candidate.refused(why)),
            }
        });
        let (greeted, candidate, members) = agreed.await.unwrap_or_else(|_| {
            Err(LinkDown::new(Code::HelloTimeout, format!("after {within:?}")).into())
        })?;
        let admitted = self.admit(connection, greeted, &candidate, members).await;
        admitted
            .map(|()| candidate.id)
            .map_err(|why| candidate.refused(why))
    }

    /// Waits for the other side's members, after having sent ours if the other side decides.
    async fn agree(
        &self,
        greeted: &mut Greeted,
        candidate: &Candidate,
    ) -> Result<Vec<MemberInfo>, LinkDown> {
        if !self.peers().decides(candidate) {
            if let Some(why) = self.peers().refusal(candidate) {
                return Err(why);
            }
            let mut willing = Vec::new();
            let members = Control::Members(self.linked_members());
            members
                .encode(&mut willing, &self.config.limits)
                .map_err(malformed)?;
            let sent = greeted.send.write_all(&willing).await;
            sent.map_err(|error| write_error(&error))?;
        }
        greeted.control.members().await
    }

    /// Makes the connection the link to its peer, or says why not.
    async fn admit(
        self: &Arc<Self>,
        connection: &quinn::Connection,
        greeted: Greeted,
        candidate: &Candidate,
        members: Vec<MemberInfo>,
    ) -> Result<(), LinkDown> {
        let Greeted {
            peer,
            accepted,
            send,
            control,
        } = greeted;
        let link = Link::new(
            self.last_session.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            accepted,
            connection.clone(),
            &self.config,
            self.intake.token().clone(),
        );
        loop {
            let now = self.env.clock.now();
            let admission = self.peers().handle_candidate(
                candidate.clone(),
                Arc::clone(&link),
                |link| link.is_up(),
                now,
            );
            match admission {
                Admission::Up => break,
                Admission::Refuse(why) => return Err(why),
                Admission::After(old, why) => {
                    old.close(why);
                    old.gone().await;
                }
            }
        }
        // No await from here on: a link that was admitted has a session that takes it down.
        if self.peers().decides(candidate) {
            self.say(&link, &Control::Members(self.linked_members()));
        }
        // BEFORE the link can be found: whoever has the first one knows which are to follow.
        if candidate.kind == PeerKind::Node {
            self.heard(candidate.id, members);
        }
        self.bring_up(&link, send, control);
        Ok(())
    }

    fn bring_up(
        self: &Arc<Self>,
        link: &Arc<Link>,
        send: quinn::SendStream,
        control: ControlReader,
    ) {
        let peer = link.peer();
        tracing::info!(peer = %peer.name, addr = %peer.seen_at, session = link.session(), "link up");
        // Told BEFORE it can be found, and before any frame is read.
        self.frames.link_up(link);
        self.change_directory(|links| links.push(Arc::clone(link)));
        // Asked again AFTER it can be found: a list that came in between has not met this link.
        if let Some(why) = self.denial(link.peer()) {
            link.close(why);
        }
        session::start(self, link, send, control);
        self.news.notify_one();
        self.changed.send_replace(());
    }

    fn change_directory(&self, change: impl FnOnce(&mut Vec<Arc<Link>>)) {
        let mut links = self
            .directory
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut links));
    }

    pub(super) fn peers(&self) -> MutexGuard<'_, Peers<Arc<Link>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn candidate(greeted: &Greeted) -> Candidate {
    let peer = &greeted.peer;
    Candidate {
        id: peer.id,
        name: peer.name.clone(),
        incarnation: peer.incarnation,
        kind: peer.kind,
        addr: peer.addr,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Counts a connection that is not a link yet.
struct Pending<'a>(&'a Mesh);

impl<'a> Pending<'a> {
    fn new(mesh: &'a Mesh) -> Self {
        mesh.pending.fetch_add(1, Ordering::Relaxed);
        Self(mesh)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How long a dialler that has this node's name may take to see it: some round trips of a slow network.
const VERDICT_MAX: Duration = Duration::from_secs(1);
