//! One session with one peer: a QUIC connection after both hellos.
//!
//! A link never comes back: after a reconnect there is a new one with a new session number. It
//! takes frames as bytes and gives frames as bytes; calls, replies and retries are not known
//! here. Which links exist is decided in `peers`, and `session` runs their tasks.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use callboard_protocol::code::Code;
use callboard_protocol::id::{CallId, Incarnation, InterfaceId, NodeId, NodeName};
use callboard_protocol::rights::Roles;
use callboard_protocol::time::Time;
use callboard_protocol::wire::Limits;
use callboard_protocol::wire::control::{Control, encode_cluster};
use callboard_protocol::wire::hello::{
    About, Accepted, FEATURE_CHOICES, FEATURE_CLUSTER, FEATURE_EPOCHS, FEATURE_FORWARDS,
    FEATURE_WITHDRAWS, HostedInterface, PeerKind,
};
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::close;
use super::config::Config;
use super::congestion;
use super::deny::Fingerprint;
use super::error::{AppendError, LinkDown};
use super::identity::Certified;
use super::lane::Lane;
use super::stats::{LinkStats, Stats};
use super::stream::{RecvStream, SendStream, StreamError, StreamFor};
use super::traffic::Traffic;

/// What the layer above does with what arrives.
///
/// For each link the order is: [`link_up`](Self::link_up) once, then frames and streams, then
/// [`link_down`](Self::link_down) once. Everything here is called on the node's I/O tasks and has
/// to return at once. Frames of one lane come in order, those of two lanes may come at once.
pub(crate) trait Frames: Send + Sync + 'static {
    /// Returns the features that this side has at the moment, besides those that it always has. Each
    /// hello says them.
    fn features(&self) -> u64;

    /// Returns what this side was started with and hosts no more. No hello names it.
    fn withdrawn(&self) -> Vec<InterfaceId>;

    /// A link is up. It is found by [`Net::links`](super::Net::links) only after this returned.
    fn link_up(&self, link: &Arc<Link>);

    /// A link is down; it was taken out of [`Net::links`](super::Net::links) before. What
    /// [`Link::left`] says is final.
    fn link_down(&self, link: &Arc<Link>, why: &LinkDown);

    /// A node was dialled and said who it is, and one side refused the link.
    fn link_refused(&self, id: NodeId, name: &NodeName, why: &LinkDown);

    /// Returns what takes in the frames of a link that is up; each of its lanes asks once.
    fn intake(&self, link: &Arc<Link>) -> Option<Box<dyn Intake>>;

    /// The peer said something about the cluster, on the control lane.
    fn heard(&self, link: &Arc<Link>, message: Vec<u8>);

    /// The peer opened a stream.
    fn stream(
        &self,
        link: &Arc<Link>,
        call: CallId,
        purpose: StreamFor,
        send: SendStream,
        recv: RecvStream,
    );
}

/// Closes a link when the thread panics while it takes in what the peer sent. What nobody reads any
/// more must not look alive: its calls would wait in vain.
pub(crate) struct CloseOnPanic<'a>(pub(crate) &'a Link);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let detail = "the other side panicked while it took a frame";
            self.0.close(LinkDown::new(Code::PeerLost, detail));
        }
    }
}

/// Takes in the frames of one lane of a link.
pub(crate) trait Intake: Send + Sync {
    /// Returns the time on the clock by which [`frame`](Self::frame) is told when frames arrived.
    /// Asked once for all that were read together.
    fn now(&self) -> Time;

    /// Returns whether so much of what arrived waits above that a lane should pause.
    fn is_heavy(&self) -> bool;

    /// Waits until that is over.
    fn light(&self) -> BoxFuture<'_, ()>;

    /// A frame arrived at about `now`, without its length. It lies in `memory`, which the packets
    /// around it share: to keep any of it is to keep them.
    ///
    /// # Errors
    /// With a reason, the link is closed for it.
    fn frame(
        &mut self,
        lane: usize,
        frame: &[u8],
        memory: &Bytes,
        now: Time,
    ) -> Result<(), LinkDown>;
}

/// One session with one peer.
#[derive(Debug)]
pub(crate) struct Link {
    session: u64,
    peer: PeerInfo,
    accepted: Accepted,
    pub(super) connection: quinn::Connection,
    pub(super) lanes: Box<[Arc<Lane>]>,
    pub(super) control: Arc<Lane>,
    pub(super) stats: Stats,
    pub(super) traffic: Arc<Traffic>,
    stall: Duration,
    leaving: AtomicBool,
    /// Cancelled once this node leaves.
    ours_leaves: CancellationToken,
    /// The last ping of this side.
    pings: AtomicU64,
    /// The latest ping that the peer has answered.
    answered: watch::Sender<u64>,
    /// Whether there is anything in `withdrawn`: calls that choose a host ask each time.
    has_withdrawn: AtomicBool,
    /// What the peer has said that it hosts no more.
    withdrawn: RwLock<BTreeSet<InterfaceId>>,
    /// Why this side closed, if it did.
    closed_for: OnceLock<LinkDown>,
    /// Why the link ended; set once it is down.
    ended_for: OnceLock<LinkDown>,
    down: CancellationToken,
    gone: CancellationToken,
}

/// Proof that a frame was appended, by which one can ask later whether it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    lane: usize,
    end: u64,
}

/// Proof that something was said on the control lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told(u64);

impl Link {
    pub(super) fn new(
        session: u64,
        peer: PeerInfo,
        accepted: Accepted,
        connection: quinn::Connection,
        config: &Config,
        ours_leaves: CancellationToken,
    ) -> Arc<Self> {
        let lane = |_| Lane::new(config.lane_buffer_bytes_max, accepted.frame_bytes_max);
        Arc::new(Self {
            session,
            peer,
            accepted,
            traffic: congestion::traffic(connection.congestion_state()),
            connection,
            lanes: (0..accepted.lanes).map(lane).collect(),
            control: Lane::new(CONTROL_BUFFER_BYTES_MAX, config.limits.control_bytes_max),
            stats: Stats::default(),
            stall: config.stall_timeout,
            leaving: AtomicBool::new(false),
            ours_leaves,
            pings: AtomicU64::new(0),
            answered: watch::Sender::new(0),
            has_withdrawn: AtomicBool::new(false),
            withdrawn: RwLock::default(),
            closed_for: OnceLock::new(),
            ended_for: OnceLock::new(),
            down: CancellationToken::new(),
            gone: CancellationToken::new(),
        })
    }

    /// Appends one frame to a lane; `encode` writes its contents to the end of the buffer. The
    /// lane is taken modulo the number of lanes.
    ///
    /// `encode` runs under the lane's lock: it must not append to this link. On an error, and if
    /// it panics, nothing of the frame is kept.
    ///
    /// # Errors
    /// - [`AppendError::Full`] if the lane's buffer is at its bound.
    /// - [`AppendError::Down`] if the link is down.
    /// - [`AppendError::TooLarge`] if the frame is longer than the peer reads.
    /// - [`AppendError::Encode`] with the closure's own error.
    pub(crate) fn append<E>(
        &self,
        lane: usize,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<Ticket, AppendError<E>> {
        let lane = lane % self.lanes.len();
        Ok(Ticket {
            lane,
            end: self.lanes[lane].append(encode)?,
        })
    }

    /// Returns whether a frame may have left. False is certain: it was not sent, and once the
    /// link is down it never will be.
    pub(crate) fn left(&self, ticket: &Ticket) -> bool {
        self.lanes
            .get(ticket.lane)
            .is_some_and(|lane| lane.has_taken(ticket.end))
    }

    /// Returns how many bytes wait in the fullest lane, and how many may.
    pub(crate) fn held_bytes(&self) -> (u64, u64) {
        self.lanes
            .iter()
            .map(|lane| lane.held_bytes())
            .max()
            .unwrap_or((0, 0))
    }

    /// Says something about the cluster, on the control lane. Returns proof of it, or nothing if it
    /// was not taken: the peer does not understand it, the link is down, or too much waits. What the
    /// link itself has to say keeps its room.
    pub(crate) fn tell(&self, message: &[u8]) -> Option<Told> {
        let understood = self.accepted.features & FEATURE_CLUSTER != 0;
        if !understood || self.control.held_bytes().0 > CLUSTER_BUFFER_BYTES_MAX {
            return None;
        }
        let appended = self.control.append(|out| {
            encode_cluster(message, out);
            Ok::<_, Infallible>(())
        });
        appended.ok().map(Told)
    }

    /// Waits until the writer has taken what was said, or the link is down.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) async fn told(&self, what: Told) {
        self.control.taken(what.0).await;
    }

    /// Says that this side hosts interfaces no more, to a peer that understands it.
    pub(crate) fn withdraw(&self, interfaces: Vec<InterfaceId>, limits: &Limits) {
        if self.accepted.features & FEATURE_WITHDRAWS == 0 {
            return;
        }
        let frame = Control::Withdrawn(interfaces);
        // Where there is no room the link is about to be closed, and the next hello says it.
        let _ = self
            .control
            .append_whole(|out| frame.encode(out, limits).map_err(AppendError::Encode));
    }

    /// Returns whether both sides take sends along with a slot that moves.
    pub(crate) fn forwards(&self) -> bool {
        self.accepted.features & FEATURE_FORWARDS != 0
    }

    /// Returns whether calls of keys say by which epoch they were sent.
    pub(crate) fn says_epochs(&self) -> bool {
        self.accepted.features & FEATURE_EPOCHS != 0
    }

    /// Returns whether both sides understand what is chosen of the voters.
    pub(crate) fn knows_choices(&self) -> bool {
        self.accepted.features & FEATURE_CHOICES != 0
    }

    /// Waits until a lane's buffer is below its bound, or the link is down. The lane is taken
    /// modulo the number of lanes.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) async fn writable(&self, lane: usize) {
        self.lanes[lane % self.lanes.len()].writable().await;
    }

    /// Opens a stream for a call. It waits while as many streams are open as the peer allows.
    ///
    /// # Errors
    /// [`StreamError::Down`] if the link is down.
    ///
    /// # Cancel safety
    /// A stream that was opened is reset.
    pub(crate) async fn open_stream(
        &self,
        call: CallId,
        purpose: StreamFor,
    ) -> Result<(SendStream, RecvStream), StreamError> {
        let opened = self.connection.open_bi().await;
        let (send, recv) = opened.map_err(|error| StreamError::Down(close::reason(&error)))?;
        self.traffic.opened();
        let mut send = SendStream::new(send, self.ours_leaves.clone());
        let recv = RecvStream::new(recv, self.stall);
        send.write_preface(call, purpose).await?;
        Ok((send, recv))
    }

    /// Closes the link. The peer is told the reason; what was not sent yet is lost.
    pub(crate) fn close(&self, why: LinkDown) {
        // Whoever finds out by an error that the link has ended closes it too. The peer's reason is the
        // one that counts then, and quinn would put ours in its place.
        if self.connection.close_reason().is_some() {
            return;
        }
        let why = self.closed_for.get_or_init(|| why);
        close::close(&self.connection, why);
    }

    /// Returns whether this side has closed the link because the peer is denied. What came from it
    /// before and was not taken in yet counts no more.
    pub(super) fn is_denied(&self) -> bool {
        self.closed_for
            .get()
            .is_some_and(|why| why.code == Code::PeerDenied)
    }

    /// Returns the number of this session. Later sessions of this node have higher ones.
    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// Returns who the peer is and what it hosts.
    pub(crate) fn peer(&self) -> &PeerInfo {
        &self.peer
    }

    /// Returns what both sides agreed on in their hellos.
    pub(crate) fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Returns the measured round trip.
    pub(crate) fn rtt(&self) -> Duration {
        self.connection.rtt()
    }

    /// Returns the counters.
    pub(crate) fn stats(&self) -> LinkStats {
        self.stats.read(&self.connection)
    }

    /// Returns whether the link is up. It may go down at any time after.
    pub(crate) fn is_up(&self) -> bool {
        !self.down.is_cancelled()
    }

    /// Returns whether the peer has said that it leaves and takes no new calls.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// Returns whether the peer hosts the interface, as far as it has said.
    pub(crate) fn hosts(&self, interface: InterfaceId) -> bool {
        self.peer.hosts.interface(interface).is_some() && !self.has_withdrawn(interface)
    }

    /// Returns whether the peer has said that it hosts the interface no more.
    pub(crate) fn has_withdrawn(&self, interface: InterfaceId) -> bool {
        self.has_withdrawn.load(Ordering::Acquire) && {
            let withdrawn = self.withdrawn.read();
            let withdrawn = withdrawn.unwrap_or_else(PoisonError::into_inner);
            withdrawn.contains(&interface)
        }
    }

    /// Waits until the link is down, and returns why.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(crate) async fn closed(&self) -> LinkDown {
        self.down.cancelled().await;
        self.ended_for
            .get()
            .cloned()
            .unwrap_or_else(|| LinkDown::new(Code::PeerLost, ""))
    }

    /// Takes no more frames, and ends the lanes once those that were taken are written.
    pub(super) fn finish(&self) {
        for lane in self.lanes.iter().chain([&self.control]) {
            lane.finish();
        }
    }

    /// Waits until the peer has acknowledged what was in the lanes when they were finished, or
    /// the link is down.
    pub(super) async fn flushed(&self) {
        for lane in self.lanes.iter().chain([&self.control]) {
            lane.flushed().await;
        }
    }

    /// Returns the number of this side's next ping.
    pub(super) fn next_ping(&self) -> u64 {
        self.pings.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The peer has answered a ping.
    pub(super) fn set_answered(&self, number: u64) {
        self.answered.send_if_modified(|latest| {
            let is_later = number > *latest;
            *latest = number.max(*latest);
            is_later
        });
    }

    /// Waits until the peer has answered a ping, and so has taken in what was said to it on the control lane
    /// before, or the link is down.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub(super) async fn answered(&self, number: u64) {
        let mut answered = self.answered.subscribe();
        // All branches are cancel safe, and whichever is first is the end. The sender is this link's own.
        tokio::select! {
            biased;
            _ = answered.wait_for(|latest| *latest >= number) => {}
            () = self.down.cancelled() => {}
        }
    }

    pub(super) fn set_leaving(&self) {
        self.leaving.store(true, Ordering::Release);
    }

    /// Notes what the peer hosts no more: at most so many interfaces in all.
    pub(super) fn set_withdrawn(&self, interfaces: Vec<InterfaceId>, most: usize) {
        let mut withdrawn = self
            .withdrawn
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        for interface in interfaces {
            if withdrawn.len() < most {
                withdrawn.insert(interface);
            }
        }
        self.has_withdrawn.store(true, Ordering::Release);
    }

    /// Waits until QUIC says that the connection has ended, by either side.
    pub(super) async fn ended(&self) -> LinkDown {
        let error = self.connection.closed().await;
        match (&error, self.closed_for.get()) {
            (quinn::ConnectionError::LocallyClosed, Some(why)) => why.clone(),
            _ => close::reason(&error),
        }
    }

    /// Makes the link down: nothing is taken or written any more.
    pub(super) fn shut(&self, why: &LinkDown) {
        let _ = self.ended_for.set(why.clone());
        for lane in self.lanes.iter().chain([&self.control]) {
            lane.shut();
        }
        self.down.cancel();
    }

    /// Says that the layer above has been told that the link is down.
    pub(super) fn set_gone(&self) {
        self.gone.cancel();
    }

    /// Waits until the layer above has been told that the link is down.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }
}

impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        self.session == other.session
    }
}

/// Who a peer is and what it hosts, as its hello and its certificate say.
#[derive(Debug)]
pub(crate) struct PeerInfo {
    /// Its id.
    pub(crate) id: NodeId,
    /// Its name.
    pub(crate) name: NodeName,
    /// Which life of it this is.
    pub(crate) incarnation: Incarnation,
    /// Node or client.
    pub(crate) kind: PeerKind,
    /// The roles in its certificate.
    pub(crate) roles: Roles,
    /// The digest of its certificate.
    pub(super) certificate: Fingerprint,
    /// What its hello says of its abilities, and of where it is, one bit each.
    pub(crate) features: u64,
    /// Where it is seen.
    pub(crate) seen_at: SocketAddr,
    /// Where other nodes can reach it. Nothing for a client.
    pub(crate) addr: Option<SocketAddr>,
    /// What it hosts.
    pub(crate) hosts: Hosts,
}

impl PeerInfo {
    pub(super) fn new(about: About, certified: Certified, seen_at: SocketAddr) -> Self {
        Self {
            id: about.id,
            name: about.name,
            incarnation: about.incarnation,
            kind: about.kind,
            roles: certified.roles,
            certificate: certified.certificate,
            features: about.features,
            seen_at,
            addr: about.listen.map(|addr| reachable(addr, seen_at)),
            hosts: Hosts::new(about.hosts),
        }
    }
}

/// A node that listens on every address of its machine is reached where it is seen.
fn reachable(advertised: SocketAddr, seen_at: SocketAddr) -> SocketAddr {
    if advertised.ip().is_unspecified() {
        SocketAddr::new(seen_at.ip(), advertised.port())
    } else {
        advertised
    }
}

/// The interfaces that a peer hosts, found by id.
#[derive(Debug)]
pub(crate) struct Hosts(BTreeMap<InterfaceId, HostedInterface>);

impl Hosts {
    fn new(interfaces: Vec<HostedInterface>) -> Self {
        let entries = interfaces
            .into_iter()
            .map(|interface| (interface.id, interface));
        Self(entries.collect())
    }

    /// Returns all interfaces, in the order of their ids.
    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &HostedInterface> {
        self.0.values()
    }

    /// Returns an interface, if the peer hosts it.
    pub(crate) fn interface(&self, id: InterfaceId) -> Option<&HostedInterface> {
        self.0.get(&id)
    }
}

/// Room for some lists of members; a peer that does not read its control lane is lost.
const CONTROL_BUFFER_BYTES_MAX: usize = 4 << 20;

/// A quarter of it. What is dropped then is said again.
const CLUSTER_BUFFER_BYTES_MAX: u64 = 1 << 20;
