//! The registry of a node and the handles that hot paths hold.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use callboard_protocol::{code::Code, wire::header::TraceContext};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{
    control::{ControlGauges, ControlSample, Handed},
    durations::Durations,
    reckoned::{Ends, InFlight},
    shards::Sharded,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabels {
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    method: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActorLabels {
    actor: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: String,
}

type Times<L> = Family<L, Durations>;

/// Counts what every call does.
pub(super) type Often = Counter<u64, Sharded<AtomicU64>>;

/// What a link looked like at the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkSample {
    pub(crate) peer: String,
    pub(crate) rtt: Duration,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) lost_packets: u64,
}

/// What a node's port has seen up to the moment of a scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortSample {
    pub(crate) refusals: BTreeMap<Code, u64>,
    pub(crate) strays: u64,
    pub(crate) asked: u64,
}

/// The metrics of one node or client.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    calls: Family<MethodLabels, Often>,
    sends: Family<MethodLabels, Often>,
    errors: Family<ErrorLabels, Counter>,
    retries: Family<MethodLabels, Counter>,
    in_flight: Family<MethodLabels, InFlight>,
    durations: Times<MethodLabels>,
    served: ServedFamilies,
    /// The calls of what this node does not know.
    unknown: Served,
    sends_refused: Family<CodeLabels, Counter>,
    waits: Times<ActorLabels>,
    depths: Family<ActorLabels, Gauge>,
    restarts: Family<ActorLabels, Counter>,
    given_up: Family<ActorLabels, Counter>,
    evicted: Family<ActorLabels, Counter>,
    links: Gauge,
    link_rtt: Family<PeerLabels, Gauge<f64, AtomicU64>>,
    link_sent: Family<PeerLabels, Gauge>,
    link_received: Family<PeerLabels, Gauge>,
    link_lost: Family<PeerLabels, Gauge>,
    links_refused: Family<CodeLabels, Gauge>,
    links_asked: Gauge,
    streams_given_up: Gauge,
    control: ControlGauges,
    /// How many of 2³² calls are traced.
    sampled: AtomicU32,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let served = ServedFamilies {
            calls: Family::default(),
            errors: Family::default(),
            durations: Times::default(),
        };
        let metrics = Self {
            unknown: served.method(UNKNOWN.to_string()),
            served,
            registry: Mutex::new(Registry::with_prefix("callboard")),
            calls: Family::default(),
            sends: Family::default(),
            errors: Family::default(),
            retries: Family::default(),
            in_flight: Family::default(),
            durations: Times::default(),
            sends_refused: Family::default(),
            waits: Times::default(),
            depths: Family::default(),
            restarts: Family::default(),
            given_up: Family::default(),
            evicted: Family::default(),
            links: Gauge::default(),
            link_rtt: Family::default(),
            link_sent: Family::default(),
            link_received: Family::default(),
            link_lost: Family::default(),
            links_refused: Family::default(),
            links_asked: Gauge::default(),
            streams_given_up: Gauge::default(),
            control: ControlGauges::default(),
            sampled: AtomicU32::new(0),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let r = &mut *registry;
        r.register(
            "calls",
            "Calls that were made, by method",
            self.calls.clone(),
        );
        r.register(
            "sends",
            "Sends that were made, by method",
            self.sends.clone(),
        );
        r.register(
            "call_errors",
            "Calls and sends that failed, by method and code",
            self.errors.clone(),
        );
        r.register(
            "call_retries",
            "Attempts beyond a call's first",
            self.retries.clone(),
        );
        r.register(
            "calls_in_flight",
            "Calls that wait for their end",
            self.in_flight.clone(),
        );
        let help = "From making a call to its end, all attempts together";
        r.register_with_unit("call_duration", help, Unit::Seconds, self.durations.clone());
        self.served.register(r);
        let help = "Sends of peers that were refused, by code";
        r.register("sends_refused", help, self.sends_refused.clone());
        let help = "From entering a mailbox to the turn";
        r.register_with_unit("mailbox_wait", help, Unit::Seconds, self.waits.clone());
        r.register(
            "mailbox_depth",
            "Messages that wait, by actor type",
            self.depths.clone(),
        );
        r.register(
            "actor_restarts",
            "Restarts by a supervisor",
            self.restarts.clone(),
        );
        r.register(
            "actors_given_up",
            "Actors that failed too often",
            self.given_up.clone(),
        );
        let help = "Keyed actors that made room for others";
        r.register("actors_evicted", help, self.evicted.clone());
        self.register_links(r);
        self.register_port(r);
    }

    fn register_links(&self, r: &mut Registry) {
        r.register("links", "Links that are up", self.links.clone());
        let help = "The measured round trip to a peer";
        r.register_with_unit("link_rtt", help, Unit::Seconds, self.link_rtt.clone());
        let help = "Bytes sent to a peer on the current link";
        r.register_with_unit("link_sent", help, Unit::Bytes, self.link_sent.clone());
        let help = "Bytes received from a peer on the current link";
        r.register_with_unit(
            "link_received",
            help,
            Unit::Bytes,
            self.link_received.clone(),
        );
        r.register(
            "link_lost_packets",
            "Packets lost on the current link",
            self.link_lost.clone(),
        );
    }

    fn register_port(&self, r: &mut Registry) {
        let help = "Connections that were refused or lost, by either side, by code";
        r.register("links_refused", help, self.links_refused.clone());
        let help = "Diallers that were asked to prove their address first";
        r.register("links_asked_for_proof", help, self.links_asked.clone());
        let help = "Streams that peers gave up before they said what they are for";
        r.register("streams_given_up", help, self.streams_given_up.clone());
        self.control.register(r);
    }

    /// Returns the handles of a method.
    pub(crate) fn method(&self, interface: &str, method: &str) -> MethodMetrics {
        let labels = MethodLabels {
            method: format!("{interface}/{method}"),
        };
        let calls = self.calls.get_or_create(&labels).clone();
        let durations = self.durations.get_or_create(&labels).clone();
        let in_flight = self.in_flight.get_or_create(&labels).clone();
        in_flight.follows(&calls, &durations);
        MethodMetrics {
            calls,
            sends: self.sends.get_or_create(&labels).clone(),
            retries: self.retries.get_or_create(&labels).clone(),
            in_flight,
            durations,
            errors: self.errors.clone(),
            served: Arc::new(self.served.method(labels.method.clone())),
            method: labels.method,
        }
    }

    /// Returns the handles of calls for what this node does not know. A peer chooses their names, so
    /// they share one label.
    pub(crate) fn unknown(&self) -> &Served {
        &self.unknown
    }

    /// Returns the handle that notes how long the messages of an actor type wait.
    pub(crate) fn waits(&self, actor: &str) -> Waits {
        let labels = ActorLabels {
            actor: actor.to_string(),
        };
        Waits(self.waits.get_or_create(&labels).clone())
    }

    /// Counts what became of states and sends in moves.
    pub(crate) fn handed(&self, what: Handed, count: usize) {
        self.control.handed(what, count);
    }

    /// Takes in how the node stands in its cluster.
    pub(crate) fn set_control(&self, sample: &ControlSample) {
        self.control.set(sample);
    }

    pub(crate) fn restarted(&self, actor: &str) {
        self.restarts
            .get_or_create(&ActorLabels {
                actor: actor.to_string(),
            })
            .inc();
    }

    pub(crate) fn gave_up(&self, actor: &str) {
        self.given_up
            .get_or_create(&ActorLabels {
                actor: actor.to_string(),
            })
            .inc();
    }

    pub(crate) fn evicted(&self, actor: &str) {
        self.evicted
            .get_or_create(&ActorLabels {
                actor: actor.to_string(),
            })
            .inc();
    }

    pub(crate) fn send_refused(&self, code: Code) {
        self.sends_refused
            .get_or_create(&CodeLabels {
                code: code.text().to_string(),
            })
            .inc();
    }

    /// Sets the share of calls without a caller that are traced, 0 to 1.
    pub(crate) fn set_sampled(&self, share: f64) {
        let share = (share.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32;
        self.sampled.store(share, Ordering::Relaxed);
    }

    /// Draws whether a call that nobody traced yet is traced; gives it a new trace then.
    pub(crate) fn sample(&self, mut random: impl FnMut() -> u64) -> Option<TraceContext> {
        let share = self.sampled.load(Ordering::Relaxed);
        if share == 0 || (random() >> 32) > u64::from(share) {
            return None;
        }
        let trace_id = u128::from(random()) << 64 | u128::from(random());
        Some(TraceContext {
            trace_id,
            span_id: random(),
            flags: 1,
        })
    }

    /// Returns everything in the OpenMetrics text format.
    pub(crate) fn text(
        &self,
        links: &[LinkSample],
        depths: &[(String, usize)],
        port: &PortSample,
    ) -> String {
        self.links_asked.set(count(port.asked));
        self.streams_given_up.set(count(port.strays));
        for (code, times) in &port.refusals {
            let labels = CodeLabels {
                code: code.text().to_string(),
            };
            self.links_refused.get_or_create(&labels).set(count(*times));
        }
        self.links.set(count(links.len() as u64));
        self.link_rtt.clear();
        self.link_sent.clear();
        self.link_received.clear();
        self.link_lost.clear();
        for link in links {
            let labels = PeerLabels {
                peer: link.peer.clone(),
            };
            self.link_rtt
                .get_or_create(&labels)
                .set(link.rtt.as_secs_f64());
            self.link_sent
                .get_or_create(&labels)
                .set(count(link.sent_bytes));
            self.link_received
                .get_or_create(&labels)
                .set(count(link.received_bytes));
            self.link_lost
                .get_or_create(&labels)
                .set(count(link.lost_packets));
        }
        self.depths.clear();
        for (actor, depth) in depths {
            let labels = ActorLabels {
                actor: actor.clone(),
            };
            self.depths
                .get_or_create(&labels)
                .inc_by(count(*depth as u64));
        }
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing to a `String` does not fail, and our own metrics have no other errors.
        let _ = encode(&mut text, &registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Notes how long the messages of one actor type wait.
#[derive(Clone)]
pub(crate) struct Waits(Durations);

impl Waits {
    pub(crate) fn observe(&self, wait: Duration) {
        self.0.observe(wait);
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waits").finish_non_exhaustive()
    }
}

/// The handles of one method.
#[derive(Clone)]
pub(crate) struct MethodMetrics {
    method: String,
    calls: Often,
    sends: Often,
    retries: Counter,
    in_flight: InFlight,
    durations: Durations,
    errors: Family<ErrorLabels, Counter>,
    served: Arc<Served>,
}

impl MethodMetrics {
    /// Returns the handles of the host's side.
    #[inline]
    pub(crate) fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Counts a call that begins. One of [`ended`](Self::ended) and [`dropped`](Self::dropped)
    /// follows.
    #[inline]
    pub(crate) fn began(&self) {
        self.calls.inc();
    }

    /// Counts the end of a call.
    #[inline]
    pub(crate) fn ended(&self, error: Option<Code>, took: Duration) {
        self.durations.observe(took);
        self.failed(error);
    }

    /// Counts that a call was dropped.
    pub(crate) fn dropped(&self) {
        self.in_flight.dropped();
    }

    /// Counts a call that begins, and that it is dropped, unless it ends.
    pub(crate) fn begin(&self) -> CallMetrics<'_> {
        self.began();
        self.go_on()
    }

    /// Counts of a call that has begun that it is dropped, unless it ends.
    pub(crate) fn go_on(&self) -> CallMetrics<'_> {
        CallMetrics(Some(self))
    }

    /// Counts a send and its error, if it had one.
    #[inline]
    pub(crate) fn sent(&self, error: Option<Code>) {
        self.sends.inc();
        self.failed(error);
    }

    /// Counts an attempt beyond the first.
    pub(crate) fn retried(&self) {
        self.retries.inc();
    }

    fn failed(&self, error: Option<Code>) {
        if let Some(code) = error {
            let labels = ErrorLabels {
                method: self.method.clone(),
                code: code.text().to_string(),
            };
            self.errors.get_or_create(&labels).inc();
        }
    }
}

impl fmt::Debug for MethodMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MethodMetrics")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// A call that has begun; it is in flight until this is dropped.
pub(crate) struct CallMetrics<'a>(Option<&'a MethodMetrics>);

impl CallMetrics<'_> {
    /// Counts the call's end.
    pub(crate) fn end(mut self, error: Option<Code>, took: Duration) {
        if let Some(metrics) = self.0.take() {
            metrics.ended(error, took);
        }
    }
}

impl Drop for CallMetrics<'_> {
    fn drop(&mut self) {
        if let Some(metrics) = self.0 {
            metrics.dropped();
        }
    }
}

/// What a node counts of the calls that it takes, from peers and from itself.
#[derive(Clone)]
struct ServedFamilies {
    calls: Family<MethodLabels, Ends>,
    errors: Family<ErrorLabels, Counter>,
    durations: Times<MethodLabels>,
}

impl ServedFamilies {
    fn register(&self, r: &mut Registry) {
        let help = "Calls and sends that ended on this node, by method";
        r.register("served", help, self.calls.clone());
        let help = "Calls and sends that ended on this node without a reply, by method and code";
        r.register("served_errors", help, self.errors.clone());
        let help = "From the start of a turn to its answer";
        r.register_with_unit("turn_duration", help, Unit::Seconds, self.durations.clone());
    }

    fn method(&self, method: String) -> Served {
        Served {
            method,
            families: self.clone(),
            handles: OnceLock::new(),
        }
    }
}

/// The handles of one method on its host's side. The series begin with the first call, so that a
/// node has none of the methods that it only calls.
pub(crate) struct Served {
    method: String,
    families: ServedFamilies,
    handles: OnceLock<(Ends, Durations)>,
}

impl Served {
    /// Counts the end of a call: its error, if it had one, and how long its turn took, if it had
    /// one.
    pub(crate) fn ended(&self, error: Option<Code>, took: Option<Duration>) {
        let (calls, durations) = self.handles.get_or_init(|| {
            let labels = MethodLabels {
                method: self.method.clone(),
            };
            let calls = self.families.calls.get_or_create(&labels).clone();
            let durations = self.families.durations.get_or_create(&labels).clone();
            calls.follows(&durations);
            (calls, durations)
        });
        match took {
            Some(took) => durations.observe(took),
            None => calls.without_turn(),
        }
        if let Some(code) = error {
            let labels = ErrorLabels {
                method: self.method.clone(),
                code: code.text().to_string(),
            };
            self.families.errors.get_or_create(&labels).inc();
        }
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served")
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// The label of methods that a peer asked for and this node does not have.
const UNKNOWN: &str = "unknown";

fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
