//! Whole links over loopback: real sockets, real TLS, and peers that misbehave.

mod closing;
mod lanes;
mod linking;
mod naming;
mod refusals;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use callboard_protocol::id::{CallId, ClusterName, Incarnation, InterfaceId, NodeId, NodeName};
use callboard_protocol::time::Time;
use callboard_protocol::wire::control::Control;
use callboard_protocol::wire::hello::{About, Hello, PeerKind, ProtocolRange};
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::handshake::{CONTROL_STREAM, LANE_STREAM};
use super::*;
use crate::env::Env;
use crate::task::Tasks;

/// What the layer above would have seen, in order.
#[derive(Debug, Default)]
struct Seen {
    events: Vec<Event>,
    streams: Vec<(CallId, StreamFor, SendStream, RecvStream)>,
    links: BTreeMap<u64, Arc<Link>>,
    poison: Option<&'static [u8]>,
    /// Whether lanes are asked to pause.
    heavy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Up { session: u64, peer: String },
    Down { session: u64, why: LinkDown },
    Frame { session: u64, frame: Bytes },
}

#[derive(Clone, Debug, Default)]
struct Recorder {
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
}

impl Recorder {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    fn look<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Panics when this frame arrives.
    fn panic_on(&self, frame: &'static [u8]) {
        self.look(|seen| seen.poison = Some(frame));
    }

    /// Waits until `find` finds something.
    async fn wait<T>(&self, what: &str, mut find: impl FnMut(&mut Seen) -> Option<T>) -> T {
        let found = tokio::time::timeout(PATIENCE, async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = self.look(&mut find) {
                    return found;
                }
                changed.await;
            }
        });
        match found.await {
            Ok(found) => found,
            Err(_) => panic!(
                "no {what}; seen: {:#?}",
                self.look(|seen| seen.events.clone())
            ),
        }
    }

    /// Waits for a link to `peer` that is still up.
    async fn linked(&self, peer: &str) -> Arc<Link> {
        self.wait(&format!("link to {peer}"), |seen| {
            let up = |link: &&Arc<Link>| link.is_up() && link.peer().name.as_str() == peer;
            seen.links.values().find(up).cloned()
        })
        .await
    }

    /// Waits for a link to end.
    async fn down(&self) -> LinkDown {
        self.wait("link down", |seen| {
            seen.events.iter().find_map(|event| match event {
                Event::Down { why, .. } => Some(why.clone()),
                _ => None,
            })
        })
        .await
    }

    fn ups(&self) -> usize {
        self.look(|seen| {
            seen.events
                .iter()
                .filter(|event| matches!(event, Event::Up { .. }))
                .count()
        })
    }
}

/// Notes the frames of one lane.
struct Recording {
    recorder: Recorder,
    session: u64,
}

impl Intake for Recording {
    fn now(&self) -> Time {
        Time::ZERO
    }

    fn is_heavy(&self) -> bool {
        self.recorder.look(|seen| seen.heavy)
    }

    fn light(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn frame(&mut self, _: usize, frame: &[u8], memory: &Bytes, _: Time) -> Result<(), LinkDown> {
        let frame = memory.slice_ref(frame);
        let poison = self.recorder.look(|seen| seen.poison);
        assert!(
            Some(&*frame) != poison,
            "the poisoned frame, as the test wants it"
        );
        let session = self.session;
        let note = |seen: &mut Seen| seen.events.push(Event::Frame { session, frame });
        self.recorder.note(note);
        Ok(())
    }
}

impl Frames for Recorder {
    fn features(&self) -> u64 {
        0
    }

    fn withdrawn(&self) -> Vec<InterfaceId> {
        Vec::new()
    }

    fn heard(&self, _: &Arc<Link>, _: Vec<u8>) {}

    fn link_up(&self, link: &Arc<Link>) {
        let (session, peer) = (link.session(), link.peer().name.to_string());
        self.note(|seen| {
            seen.events.push(Event::Up { session, peer });
            seen.links.insert(session, Arc::clone(link));
        });
    }

    fn link_down(&self, link: &Arc<Link>, why: &LinkDown) {
        let (session, why) = (link.session(), why.clone());
        self.note(|seen| seen.events.push(Event::Down { session, why }));
    }

    fn link_refused(&self, _: NodeId, _: &NodeName, _: &LinkDown) {}

    fn intake(&self, link: &Arc<Link>) -> Option<Box<dyn Intake>> {
        let (recorder, session) = (self.clone(), link.session());
        Some(Box::new(Recording { recorder, session }))
    }

    fn stream(
        &self,
        _link: &Arc<Link>,
        call: CallId,
        purpose: StreamFor,
        send: SendStream,
        recv: RecvStream,
    ) {
        self.note(|seen| seen.streams.push((call, purpose, send, recv)));
    }
}

/// A node or a client in the test's process.
struct Peer {
    name: String,
    tasks: Tasks,
    net: Arc<Net>,
    seen: Arc<Recorder>,
}

impl Peer {
    fn addr(&self) -> SocketAddr {
        self.net.local_addr()
    }

    fn name(&self) -> &str {
        &self.name
    }

    /// Ends it without a word, as SIGKILL does.
    async fn kill(self) {
        self.tasks.stop(Duration::ZERO).await;
    }
}

/// Starts a node or a client with the settings that matter to a test.
struct Start<'a> {
    identity: Identity,
    seeds: &'a [SocketAddr],
    names: Vec<Arc<str>>,
    env: Env,
    listen: SocketAddr,
    incarnation: u64,
    config: Config,
}

impl<'a> Start<'a> {
    fn new(identity: Identity) -> Self {
        Self {
            identity,
            seeds: &[],
            names: Vec::new(),
            env: Env::real(),
            listen: loopback(0),
            incarnation: 1,
            config: quick(),
        }
    }

    fn seeds(mut self, seeds: &'a [SocketAddr]) -> Self {
        self.seeds = seeds;
        self
    }

    fn go(self) -> Peer {
        let seen = Arc::new(Recorder::default());
        let local = Local {
            listen: self.listen,
            advertise: None,
            seeds: self.seeds.to_vec(),
            names: self.names,
            incarnation: Incarnation(self.incarnation),
            features: 0,
            hosts: Vec::new(),
            denied: DenyList::default(),
        };
        let frames = Arc::clone(&seen) as Arc<dyn Frames>;
        let tasks = Tasks::new("test");
        let net = Net::start(self.config, self.env, &self.identity, local, &tasks, frames);
        Peer {
            name: self.identity.name().to_string(),
            tasks,
            net: net.expect("the node starts"),
            seen,
        }
    }
}

/// A peer that speaks QUIC and TLS as it should, and then does as it likes.
struct Rogue {
    tasks: Tasks,
    _endpoint: quinn::Endpoint,
    connection: quinn::Connection,
}

impl Rogue {
    async fn dial(identity: &Identity, to: SocketAddr) -> Result<Self, quinn::ConnectionError> {
        let tasks = Tasks::new("rogue");
        let (env, config) = (Env::real(), quick());
        let opened = endpoint::open(&config, &env, identity, loopback(0), false, &tasks);
        let endpoint::Opened {
            endpoint, client, ..
        } = opened.expect("an endpoint");
        let connecting = endpoint
            .connect_with(client, to, "callboard")
            .expect("an address");
        let connection = connecting.await?;
        Ok(Self {
            tasks,
            _endpoint: endpoint,
            connection,
        })
    }

    async fn send(&self, bytes: &[u8]) -> quinn::SendStream {
        let mut stream = self.connection.open_uni().await.expect("a stream");
        stream.write_all(bytes).await.expect("write");
        stream
    }

    /// Says hello, and that it is willing.
    async fn say_hello(&self, hello: Hello) -> quinn::SendStream {
        let mut bytes = vec![CONTROL_STREAM];
        let limits = quick().limits;
        Control::Hello(Box::new(hello))
            .encode(&mut bytes, &limits)
            .expect("a hello");
        Control::Members(Vec::new())
            .encode(&mut bytes, &limits)
            .expect("members");
        self.send(&bytes).await
    }

    /// Sends nothing any more, not even a close.
    async fn vanish(&self) {
        self.tasks.stop(Duration::ZERO).await;
    }

    async fn closed(&self) -> LinkDown {
        let closed = tokio::time::timeout(PATIENCE, self.connection.closed()).await;
        close::reason(&closed.expect("the node closes"))
    }
}

fn hello_of(identity: &Identity) -> Hello {
    Hello {
        protocol: ProtocolRange::OURS,
        about: About {
            cluster: identity.cluster().clone(),
            name: identity.name().clone(),
            id: NodeId::of(identity.name()),
            incarnation: Incarnation(1),
            kind: identity.kind(),
            features: 0,
            lanes: 1,
            frame_bytes_max: 64 << 10,
            body_bytes_max: 1 << 20,
            listen: None,
            hosts: Vec::new(),
        },
    }
}

fn authority(cluster: &str) -> Authority {
    let cluster = ClusterName::new(cluster).expect("a cluster name");
    Authority::throw_away(cluster).expect("an authority")
}

fn node(authority: &Authority, name: &str) -> Identity {
    issue(authority, name, PeerKind::Node)
}

fn client(authority: &Authority, name: &str) -> Identity {
    issue(authority, name, PeerKind::Client)
}

fn issue(authority: &Authority, name: &str, kind: PeerKind) -> Identity {
    authority
        .issue(NodeName::new(name).expect("a name"), kind)
        .expect("an identity")
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The defaults, with less patience.
fn quick() -> Config {
    Config {
        peer_timeout: Duration::from_secs(1),
        keep_alive: Duration::from_millis(200),
        reconnect_min: Duration::from_millis(5),
        reconnect_max: Duration::from_millis(50),
        ..Config::default()
    }
}

/// Far longer than anything takes, so that a slow machine fails no test.
const PATIENCE: Duration = Duration::from_secs(20);
