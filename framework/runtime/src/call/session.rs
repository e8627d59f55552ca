//! One session with a peer, as the call layer sees it: the calls that wait for the peer's replies,
//! the peer's calls that run here, and how loaded the peer looks.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    id::{CallId, InterfaceId, NodeId},
    policy::Load,
    time::Time,
    wire::{
        Limits,
        header::{Down, Target, encode_cancel},
    },
};

use crate::net::{AppendError, Link, LinkDown};

use super::{
    arrival::{Arrival, Parts},
    face::Face,
    frame::Arrived,
    hold::Holds,
    hub::Hub,
    pending::Pending,
    room::Room,
    seen::Seen,
    served::{NotEntered, ServedTable},
    streams::Streams,
    turnstile::{Turn, Turnstile},
    watch::{Unlinked, Watches},
};

/// A session. It ends with its link; the next link to the same peer makes a new one.
pub(crate) struct Session {
    pub(crate) hub: Arc<Hub>,
    pub(crate) link: Arc<Link>,
    pub(crate) pending: Pending,
    pub(crate) streams: Streams,
    /// Streams that carry replies to this node's calls.
    pub(crate) reply_streams: Streams,
    pub(crate) watches: Watches,
    pub(super) holds: Holds<Arrived>,
    /// By which tables of slots the peer goes.
    pub(super) seen: Seen,
    served: ServedTable<Arrival>,
    /// Room for large bodies that are being received.
    bodies: Room,
    /// Error replies that wait for room on their lane.
    late_errors: AtomicUsize,
    /// The bytes of the replies that wait for room or for their reader.
    late_bytes: AtomicUsize,
    agreements: RwLock<BTreeMap<InterfaceId, Arc<Agreement>>>,
    turnstiles: Box<[Turnstile]>,
    /// Where those wait who write large arguments.
    writers: [Turnstile; WRITERS],
    /// Calls whose long replies are on their way.
    receiving: AtomicUsize,
    refused_until: AtomicU64,
    /// How many actors this node has sent the peer to make.
    placed: AtomicU64,
    /// Whether the hub gives calls another session of the peer, or none.
    replaced: AtomicBool,
}

/// For each method of a face: whether the peer has it with the same types.
type Agreement = Vec<Result<(), CallError>>;

impl Session {
    pub(crate) fn new(hub: Arc<Hub>, link: Arc<Link>) -> Self {
        let limits = hub.call_limits();
        let lanes = link.accepted().lanes.max(1);
        Self {
            pending: Pending::new(limits.in_flight_max),
            holds: Holds::new(limits.held_bytes_max),
            seen: Seen::new(lanes.into()),
            streams: Streams::default(),
            reply_streams: Streams::default(),
            watches: Watches::default(),
            served: ServedTable::new(limits.served_max),
            bodies: Room::new(limits.bodies_bytes_max),
            late_errors: AtomicUsize::new(0),
            late_bytes: AtomicUsize::new(0),
            agreements: RwLock::default(),
            turnstiles: (0..lanes).map(|_| Turnstile::default()).collect(),
            writers: Default::default(),
            receiving: AtomicUsize::new(0),
            refused_until: AtomicU64::new(0),
            placed: AtomicU64::new(0),
            replaced: AtomicBool::new(false),
            hub,
            link,
        }
    }

    /// Returns the peer's id.
    pub(crate) fn node(&self) -> NodeId {
        self.link.peer().id
    }

    /// Returns the peer as errors name it.
    pub(crate) fn peer_name(&self) -> String {
        format!("node {}", self.link.peer().name)
    }

    /// Says that the hub gives calls another session of the peer, or none.
    pub(super) fn set_replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// Returns whether the hub gives this session to the calls for its peer.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        !self.replaced.load(Ordering::Acquire)
    }

    /// Returns whether the peer hosts the interface.
    pub(crate) fn hosts(&self, interface: InterfaceId) -> bool {
        self.link.hosts(interface)
    }

    /// Checks that the peer has the method with the same types as this node.
    ///
    /// # Errors
    /// `NotHosted`, `UnknownMethod` or `SchemaMismatch`.
    pub(crate) fn agrees(&self, face: &Face, method: usize) -> Result<(), CallError> {
        let known = {
            let agreements = self
                .agreements
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            agreements.get(&face.id).cloned()
        };
        let agreement = known.unwrap_or_else(|| self.compare(face));
        match agreement.get(method) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.clone()),
            None => Err(CallError::new(
                Code::UnknownMethod,
                format!("interface {}", face.name),
            )),
        }
    }

    /// Compares all that this node hosts or has called and the peer hosts: what differs is told now, and
    /// not when the first call finds no host.
    pub(super) fn compare_all(&self) {
        let faces = self.hub.known_faces();
        for face in faces.iter().filter(|face| self.hosts(face.id)) {
            self.compare(face);
        }
    }

    /// Compares an interface with the peer's, once for a session, and tells what differs.
    fn compare(&self, face: &Face) -> Arc<Agreement> {
        let theirs = self.link.peer().hosts.interface(face.id);
        let node = self.peer_name();
        let agreement = face.methods.iter().map(|method| {
            let Some(theirs) = theirs else {
                return Err(method.spec.error_on(Code::NotHosted, &node));
            };
            let theirs = theirs
                .methods
                .iter()
                .find(|theirs| theirs.id == method.spec.id);
            method.agrees(theirs, &node)
        });
        let agreement = Arc::new(agreement.collect::<Agreement>());
        if theirs.is_some() {
            tell_differences(&agreement);
        }
        let mut agreements = self
            .agreements
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        agreements.insert(face.id, agreement.clone());
        agreement
    }

    /// Returns the number of lanes.
    pub(crate) fn lanes(&self) -> usize {
        self.turnstiles.len()
    }

    /// Returns the turnstile of a lane.
    pub(crate) fn turnstile(&self, lane: usize) -> &Turnstile {
        &self.turnstiles[lane % self.turnstiles.len()]
    }

    /// Waits for the turn to write large arguments of this sender for this target.
    ///
    /// The host reads those of a pair one after another. If all were written at once, those that are
    /// not read yet could take up the peer's receive window, and the one that is read would never
    /// end. A pair shares its turnstile with some others, which costs time and nothing else.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the queue.
    pub(super) async fn turn_to_write(&self, sender: u64, target: &Target<'_>) -> Turn<'_> {
        let target = match target {
            Target::Service => 0,
            Target::Keyed(key) => key.iter().fold(1, |sum: u64, byte| {
                sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
            }),
            Target::Spawned { actor, .. } => actor.0,
        };
        let mixed = (sender ^ target.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.writers[mixed as usize % WRITERS].enter().await
    }

    /// Counts a call whose long reply is on its way until the guard is dropped.
    pub(super) fn receiving(&self) -> Receiving<'_> {
        self.receiving.fetch_add(1, Ordering::Relaxed);
        Receiving(self)
    }

    /// Ends the calls that are too late, until the session ends or the node has stopped.
    pub(super) async fn sweep(self: Arc<Self>) {
        // However the sweep ends, no call waits for the next one.
        let _stop = StopOnDrop(&self.pending);
        while let Some(next) = self.pending.sweep(self.hub.now()) {
            let wait = next.saturating_since(self.hub.now()).min(SWEEP_AFTER_MAX);
            tokio::select! {
                biased;
                () = self.hub.deadlines().ended() => return,
                () = self.pending.sooner() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Avoids this peer for a while: it said that it is stopping or does not host what it announced.
    pub(crate) fn avoid_until(&self, until: Time) {
        self.refused_until
            .fetch_max(until.as_nanos(), Ordering::Relaxed);
    }

    /// Returns whether the peer asked not to be chosen now.
    pub(crate) fn is_avoided(&self, now: Time) -> bool {
        now.as_nanos() < self.refused_until.load(Ordering::Relaxed)
    }

    /// Returns how loaded the peer looks from here. While it owes answers, its silence counts as
    /// its latency, so that a dead one is left alone before its link is down.
    pub(crate) fn load(&self, now: Time) -> Load {
        let owed = self.pending.owed(now);
        let in_flight = owed.calls + self.receiving.load(Ordering::Relaxed);
        let silence = now.saturating_since(owed.silent_since);
        // A dead peer's link is down by the peer timeout. A longer silence is that of a handler.
        let counts = in_flight > 0 && silence <= self.hub.peer_timeout();
        let silence = if counts { silence } else { Duration::ZERO };
        Load {
            in_flight,
            latency: owed.latency.max(silence),
        }
    }

    /// Counts an actor that the peer is about to be asked to make.
    pub(crate) fn count_placed(&self) {
        self.placed.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many actors the peer was asked to make.
    pub(crate) fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    /// Enters a call of the peer.
    ///
    /// # Errors
    /// [`NotEntered`].
    pub(super) fn serve(self: &Arc<Self>, parts: Parts) -> Result<Arrival, NotEntered> {
        let id = parts.id;
        self.served
            .enter(id, |earlier| Arrival::renewed(earlier, self, parts))
    }

    /// Takes out a call of the peer that was answered.
    pub(super) fn served_ended(&self, call: CallId) {
        self.served.leave(call);
    }

    /// Ends a call or a watch of the peer that nobody waits for any more.
    pub(super) fn served_cancelled(&self, call: CallId) {
        if let Some(arrival) = self.served.cancel(call) {
            arrival.cancel();
        }
    }

    /// Returns the room for large bodies of the peer that are being received.
    pub(crate) fn bodies(&self) -> &Room {
        &self.bodies
    }

    /// Counts a reply of so many bytes that waits until the guard is dropped. Returns nothing when
    /// too many bytes wait already; one reply may wait whatever its length.
    pub(super) fn late_reply(self: &Arc<Self>, bytes: usize) -> Option<Late> {
        let late = Late {
            session: self.clone(),
            errors: 0,
            bytes,
        };
        let before = self.late_bytes.fetch_add(bytes, Ordering::Relaxed);
        let most = self.hub.call_limits().reply_bytes_max;
        (before == 0 || before.saturating_add(bytes) <= most).then_some(late)
    }

    /// Returns how many bytes of replies wait.
    pub(crate) fn late_bytes(&self) -> usize {
        self.late_bytes.load(Ordering::Relaxed)
    }

    /// Counts an error reply or another short frame that waits for room until the guard is dropped.
    /// Returns nothing when there are too many: a peer that goes on calling without reading the
    /// replies is not served.
    pub(super) fn late_error(self: &Arc<Self>) -> Option<Late> {
        let late = Late {
            session: self.clone(),
            errors: 1,
            bytes: 0,
        };
        let before = self.late_errors.fetch_add(1, Ordering::Relaxed);
        if before < self.hub.call_limits().served_max {
            return Some(late);
        }
        let why = format!("{} does not read its replies", self.peer_name());
        self.link.close(LinkDown::new(Code::TooManyInFlight, why));
        None
    }

    /// Returns the longest reply that fits into a frame on a lane, in bytes.
    pub(super) fn inline_bytes_max(&self) -> usize {
        let fits = Limits::inline_body_bytes_max(self.link.accepted().frame_bytes_max);
        self.hub.call_limits().inline_bytes_max.min(fits)
    }

    /// Returns the longest body that may be sent to the peer, in bytes: neither side's cap is
    /// passed.
    pub(super) fn body_bytes_max(&self) -> usize {
        let own = self.hub.limits().body_bytes_max;
        own.min(self.link.accepted().body_bytes_max) as usize
    }

    /// Returns how many calls of the peer run or wait here.
    pub(crate) fn served_len(&self) -> usize {
        self.served.len()
    }

    /// Tells the peer that a call or a watch is not wanted any more.
    pub(super) fn cancel(self: &Arc<Self>, lane: usize, id: CallId) {
        self.tell(lane, move |buffer| encode_cancel(id, buffer));
    }

    /// Tells the peer that an actor that it watches ended.
    pub(super) fn send_down(self: &Arc<Self>, lane: usize, down: Down) {
        self.tell(lane, move |buffer| down.encode(buffer));
    }

    /// Appends a short frame, later if the lane has no room now.
    fn tell(self: &Arc<Self>, lane: usize, encode: impl Fn(&mut Vec<u8>) + Send + 'static) {
        let append = move |link: &Link| {
            link.append(lane, |buffer| {
                encode(buffer);
                Ok::<_, Infallible>(())
            })
        };
        let waits = self.hub.env().plant.buggify("a-cancel-waits-for-room");
        if !waits && !matches!(append(&self.link), Err(AppendError::Full)) {
            return;
        }
        // A peer that watches what is not here and does not read makes one for each watch.
        let Some(late) = self.late_error() else {
            return;
        };
        let session = self.clone();
        self.hub.tasks().spawn("tell", async move {
            let _late = late;
            loop {
                session.link.writable(lane).await;
                if !matches!(append(&session.link), Err(AppendError::Full)) {
                    return;
                }
            }
        });
    }

    /// Ends everything that waits on this session; `unlinked` says what that means for its watches.
    pub(super) fn end(&self, unlinked: Unlinked) {
        self.pending.end();
        self.streams.end();
        self.reply_streams.end();
        self.watches.end(unlinked);
        self.holds.end();
        for arrival in self.served.take() {
            arrival.cancel();
        }
    }
}

/// Tells of the methods that the peer hosts otherwise than this node knows them.
fn tell_differences(agreement: &Agreement) {
    for error in agreement.iter().filter_map(|agrees| agrees.as_ref().err()) {
        match error.code() {
            // As in every upgrade, node by node.
            Code::UnknownMethod => tracing::info!(%error, "the peer is not sent this method"),
            _ => tracing::warn!(%error, "the peer is not sent this method"),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.node())
            .finish_non_exhaustive()
    }
}

/// A reply that waits: what it counts for.
#[derive(Debug)]
pub(super) struct Late {
    session: Arc<Session>,
    errors: usize,
    bytes: usize,
}

impl Drop for Late {
    fn drop(&mut self) {
        let session = &self.session;
        session
            .late_errors
            .fetch_sub(self.errors, Ordering::Relaxed);
        session.late_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A call whose long reply is on its way, for the balance.
#[derive(Debug)]
pub(super) struct Receiving<'a>(&'a Session);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.receiving.fetch_sub(1, Ordering::Relaxed);
    }
}

struct StopOnDrop<'a>(&'a Pending);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Without a call that waits, the table is looked at this often; it is told of one.
const SWEEP_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Large arguments that may be written at once: many more than a connection needs, so that pairs
/// seldom share a turnstile.
const WRITERS: usize = 32;
