//! Calls against a peer that speaks the protocol and sends what no build of ours would.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use callboard_macros::{Actor, Service, handlers};
use callboard_protocol::{
    cluster::{Message, NotGranted, Seen, decode_message, encode_message},
    code::{CallError, Code, Ran},
    id::{
        ActorAddr, ActorId, CallId, ClusterId, ClusterName, Incarnation, InterfaceId, MethodId,
        NodeId, NodeName,
    },
    membership::{Profile, RenewalNumber},
    rights::Policy,
    slots::{Command, Delta, Settings, SlotCount, State, Version, View},
    time::Time,
    wire::{
        Limits,
        header::{Body, Call, Chain, Down, DownReason, Frame, Reply, Target, Watch},
        hello::{FEATURE_CLUSTER, HostedInterface, PeerKind},
    },
};
use futures_util::{future::BoxFuture, poll, stream};
use tokio::sync::mpsc;

use super::{
    Me,
    face::Face,
    hub::Hub,
    interface::{Interface, Reference},
    reference::{Address, Ref},
    stream::local_pair,
    term::Term,
    watch::watch,
};
use crate::{
    CallLimits, Client, Node,
    env::{Bug, Dice, Env, Plant},
    net::{
        Authority, Config, DenyList, Frames, Identity, Intake, Link, LinkDown, Local, Net,
        RecvStream, SendStream, StreamFor,
    },
    task::Tasks,
    telemetry::Metrics,
};

mod moves;

/// A hub without a port, and without anything that looks at its clock.
pub(super) fn hub(name: &str) -> Arc<Hub> {
    let me = Me {
        id: NodeId(1),
        name: name.to_owned(),
        incarnation: Incarnation(1),
        kind: PeerKind::Node,
    };
    Hub::new(
        me,
        Env::real(),
        Tasks::new(name),
        Limits::default(),
        CallLimits::default(),
        Policy::default(),
        Duration::from_secs(3),
    )
}

#[derive(Default, Service)]
#[service(crate = crate)]
pub(crate) struct Oracle;

#[handlers(crate = crate)]
impl Oracle {
    pub fn ask(&self, number: u32) -> u32 {
        number
    }
}

#[derive(Default, Actor)]
#[actor(crate = crate)]
pub(crate) struct Seer;

#[handlers(crate = crate)]
impl Seer {
    pub fn look(&self) {}
}

#[derive(Default, Actor)]
#[actor(crate = crate)]
pub(crate) struct Lock;

#[handlers(crate = crate)]
impl Lock {
    pub async fn keep(&mut self) {
        std::future::pending::<()>().await;
    }

    pub fn look(&self) {}
}

#[tokio::test]
async fn a_call_that_a_turn_has_kept_waiting_says_which_and_for_how_long() {
    let cluster = ClusterName::new("test").expect("a name");
    let authority = Authority::throw_away(cluster).expect("an authority");
    let name = NodeName::new("n1").expect("a name");
    let identity = authority.issue(name, PeerKind::Node).expect("issued");
    let node = Node::builder().identity(identity).start().await;
    let node = node.expect("starts");
    let lock = node.spawn::<Lock>();
    lock.look().await.expect("it is free");
    let wait = Duration::from_millis(50);
    let kept = lock
        .keep()
        .timeout(wait)
        .await
        .expect_err("it does not end");
    assert_eq!(kept.code(), Code::DeadlineExceeded, "{kept}");
    let waited = lock.look().timeout(wait).await.expect_err("it waits");
    assert_eq!(waited.code(), Code::DeadlineBeforeSend, "{waited}");
    let said = "the turn of Lock/keep has had the actor for ";
    assert!(waited.detail().contains(said), "{waited}");
}

/// What a link brings, in order.
#[derive(Debug)]
enum Event {
    Up(Arc<Link>),
    Frame(Bytes),
    Heard(Vec<u8>),
}

/// Hands on everything.
struct Ear(mpsc::UnboundedSender<Event>);

impl Frames for Ear {
    fn features(&self) -> u64 {
        0
    }

    fn withdrawn(&self) -> Vec<InterfaceId> {
        Vec::new()
    }

    fn heard(&self, _: &Arc<Link>, message: Vec<u8>) {
        let _ = self.0.send(Event::Heard(message));
    }

    fn link_up(&self, link: &Arc<Link>) {
        let _ = self.0.send(Event::Up(link.clone()));
    }

    fn link_down(&self, _: &Arc<Link>, _: &LinkDown) {}

    fn link_refused(&self, _: NodeId, _: &NodeName, _: &LinkDown) {}

    fn intake(&self, _: &Arc<Link>) -> Option<Box<dyn Intake>> {
        Some(Box::new(Self(self.0.clone())))
    }

    fn stream(&self, _: &Arc<Link>, _: CallId, _: StreamFor, _: SendStream, _: RecvStream) {}
}

impl Intake for Ear {
    fn now(&self) -> Time {
        Time::ZERO
    }

    fn is_heavy(&self) -> bool {
        false
    }

    fn light(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn frame(&mut self, _: usize, frame: &[u8], memory: &Bytes, _: Time) -> Result<(), LinkDown> {
        let _ = self.0.send(Event::Frame(memory.slice_ref(frame)));
        Ok(())
    }
}

/// A peer without a call layer.
struct Raw {
    net: Arc<Net>,
    tasks: Tasks,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Raw {
    fn start(identity: &Identity, seeds: Vec<SocketAddr>, hosts: Vec<HostedInterface>) -> Self {
        Self::in_life(1, identity, seeds, hosts)
    }

    fn in_life(
        number: u64,
        identity: &Identity,
        seeds: Vec<SocketAddr>,
        hosts: Vec<HostedInterface>,
    ) -> Self {
        Self::with_features(FEATURE_CLUSTER, number, identity, seeds, hosts)
    }

    fn with_features(
        features: u64,
        number: u64,
        identity: &Identity,
        seeds: Vec<SocketAddr>,
        hosts: Vec<HostedInterface>,
    ) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let tasks = Tasks::new("raw");
        let local = Local {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            advertise: None,
            seeds,
            names: Vec::new(),
            incarnation: Incarnation(number),
            features,
            hosts,
            denied: DenyList::default(),
        };
        let ear = Arc::new(Ear(sender));
        let net = Net::start(Config::default(), Env::real(), identity, local, &tasks, ear);
        Self {
            net: net.expect("it starts"),
            tasks,
            events,
        }
    }

    async fn link(&mut self) -> Arc<Link> {
        match self.next().await {
            Event::Up(link) => link,
            other => panic!("{other:?} before the link"),
        }
    }

    /// Returns the next frame; a peer that is linked asks for the slots at any time.
    async fn frame(&mut self) -> Bytes {
        loop {
            match self.next().await {
                Event::Frame(frame) => return frame,
                Event::Heard(_) => {}
                Event::Up(_) => panic!("a second link"),
            }
        }
    }

    /// Waits for a watch on its actor, over the next link.
    async fn watched(&mut self) -> (Arc<Link>, CallId) {
        let link = self.link().await;
        let frame = self.frame().await;
        match Frame::decode(&frame) {
            Ok(Frame::Watch(watch)) => (link, watch.id),
            other => panic!("{other:?} is no watch"),
        }
    }

    /// Asks for the slots until the node tells.
    async fn follow(&mut self, link: &Link) -> Delta {
        let version = Version(0);
        loop {
            say(link, &Message::Follow { version });
            let Event::Heard(message) = self.next().await else {
                panic!("no frame was asked for");
            };
            match decode_message(&message).expect("its own") {
                Message::Delta(delta) => return Delta::decode(&delta).expect("its own"),
                // The next question is asked when this one was answered, which is wait enough.
                Message::NotFollowed { .. } => {}
                other => panic!("a client is told {other:?}"),
            }
        }
    }

    async fn next(&mut self) -> Event {
        let next = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        next.expect("in time").expect("the ear listens")
    }

    async fn stop(self) {
        self.net.close("the test is over", PATIENCE).await;
        self.tasks.stop(PATIENCE).await;
    }
}

struct Town(Authority);

impl Town {
    fn new() -> Self {
        let cluster = ClusterName::new("test").expect("a name");
        Self(Authority::throw_away(cluster).expect("an authority"))
    }

    fn issue(&self, name: &str, kind: PeerKind) -> Identity {
        let name = NodeName::new(name).expect("a name");
        self.0.issue(name, kind).expect("an identity")
    }
}

/// Makes a call of a service, without arguments.
fn call(id: u64, interface: InterfaceId, method: MethodId, body: &[u8]) -> Call<'_> {
    Call {
        id: CallId(id),
        send: false,
        interface,
        method,
        target: Target::Service,
        epoch: 0,
        deadline_left: PATIENCE,
        sender: 0,
        root: 0,
        chain: Chain::new(&[]),
        trace: None,
        request: None,
        streamed: false,
        body: Body::Inline(body),
    }
}

fn say(link: &Link, message: &Message) {
    let message = encode_message(message, 1 << 16).expect("short");
    assert!(link.tell(&message).is_some(), "there is room");
}

fn append(link: &Link, encode: impl FnOnce(&mut Vec<u8>)) {
    let appended = link.append(0, |out| {
        encode(out);
        Ok::<_, Infallible>(())
    });
    appended.expect("there is room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_told_of_the_slots_and_listened_to_in_nothing_else() {
    let (town, disk) = (Town::new(), tempfile::tempdir().expect("a folder"));
    let node = Node::builder()
        .identity(town.issue("n1", PeerKind::Node))
        .data_dir(disk.path())
        .profile(Profile::fast())
        .bootstrap_expect(1)
        .start()
        .await
        .expect("starts");
    let identity = town.issue("raw", PeerKind::Client);
    let mut raw = Raw::start(&identity, vec![node.local_addr()], Vec::new());
    let link = raw.link().await;
    let told = raw.follow(&link).await;
    let mut view = View::new();
    view.handle_delta(&told).expect("the first");
    let (member, _) = view.members().next().expect("one member");
    assert_eq!(
        (member.name.as_str(), member.addr),
        ("n1", node.local_addr())
    );
    assert_eq!(member.disk, None, "no call is routed by that");

    let before = node.position();
    let me = before.me;
    let foreign = Seen {
        cluster: Some(ClusterId(99)),
        expects: None,
        disk: None,
        leading: None,
    };
    let incarnation = me.incarnation;
    let lapse = Command::Lapse(me).encode();
    for message in [
        Message::Seen(foreign),
        Message::NotGranted {
            incarnation,
            why: NotGranted::Over,
        },
        Message::Join {
            number: 1,
            command: lapse,
        },
        Message::Delta(told.encode()),
        Message::Group(vec![1, 2, 3]),
    ] {
        say(&link, &message);
    }
    // The lane keeps the order: once this is answered, all before has been read.
    raw.follow(&link).await;
    // What it brought about later would be seen after some of the next answers.
    for _ in 0..20 {
        raw.follow(&link).await;
        let after = node.position();
        assert!(after.lease_left.is_some() && link.is_up());
        assert_eq!((after.me, after.version), (me, before.version));
    }
    raw.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_a_leader_says_is_taken_from_the_leader_alone() {
    let (town, disk) = (Town::new(), tempfile::tempdir().expect("a folder"));
    let node = Node::builder()
        .identity(town.issue("n1", PeerKind::Node))
        .data_dir(disk.path())
        .profile(Profile::fast())
        .bootstrap_expect(1)
        .start()
        .await
        .expect("starts");
    node.joined(PATIENCE).await.expect("alone");
    let identity = town.issue("raw", PeerKind::Node);
    let mut raw = Raw::start(&identity, vec![node.local_addr()], Vec::new());
    let link = raw.link().await;
    let before = node.position();
    let incarnation = before.me.incarnation;
    let why = NotGranted::Over;
    say(&link, &Message::NotGranted { incarnation, why });
    let mut state = State::new();
    let form = Command::Form {
        cluster: node.cluster_id().expect("formed"),
        slots: SlotCount::default(),
        settings: Settings::default(),
    };
    state.apply(&form).expect("the first");
    for number in 0..100 {
        let mut settings = Settings::default();
        settings.moves_per_second = number + 1;
        state.apply(&Command::Set(settings)).expect("in range");
    }
    let forged = state.since(Version(0), 0).expect("formed");
    assert!(forged.to() > before.version);
    say(&link, &Message::Delta(forged.encode()));
    // The lane keeps the order: this is answered once all before has been taken in.
    let renew = Message::Renew {
        incarnation: Incarnation(1),
        number: RenewalNumber(1),
        version: Version(0),
    };
    say(&link, &renew);
    loop {
        if let Event::Heard(message) = raw.next().await
            && let Ok(Message::NotGranted { .. }) = decode_message(&message)
        {
            break;
        }
    }
    let after = node.position();
    assert_eq!((after.me, after.version), (before.me, before.version));
    assert!(after.lease_left.is_some());
    raw.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_what_is_not_here_is_refused_and_counted_under_one_label() {
    let town = Town::new();
    let node = Node::builder()
        .identity(town.issue("n1", PeerKind::Node))
        .host::<Oracle>()
        .start()
        .await
        .expect("starts");
    let identity = town.issue("raw", PeerKind::Client);
    let mut raw = Raw::start(&identity, vec![node.local_addr()], Vec::new());
    let link = raw.link().await;
    let oracle = InterfaceId::of("Oracle");
    let ask = MethodId::of("Oracle", "ask");
    let calls = [
        (InterfaceId::of("Nowhere"), ask, &[1][..], Code::NotHosted),
        (
            oracle,
            MethodId::of("Oracle", "mute"),
            &[1],
            Code::UnknownMethod,
        ),
        // A number that does not end, and one with something behind it.
        (oracle, ask, &[0x80], Code::BodyUndecodable),
        (oracle, ask, &[1, 2], Code::BodyUndecodable),
    ];
    for (id, (interface, method, body, code)) in (1..).zip(calls) {
        let call = call(id, interface, method, body);
        append(&link, |out| call.encode(out).expect("short"));
        let frame = raw.frame().await;
        let Ok(Frame::Reply(reply)) = Frame::decode(&frame) else {
            panic!("{frame:?} is no reply");
        };
        let error = reply.outcome.expect_err("refused");
        assert_eq!((reply.id, error.code()), (CallId(id), code), "{error}");
        assert_eq!(error.ran(), Ran::Refused);
    }
    let last = call(9, oracle, ask, &[7]);
    append(&link, |out| last.encode(out).expect("short"));
    let frame = raw.frame().await;
    let reply = Frame::Reply(Reply {
        id: CallId(9),
        outcome: Ok(Body::Inline(&[7])),
    });
    assert_eq!(Frame::decode(&frame), Ok(reply));
    let text = node.metrics();
    for counted in [
        "served_total{method=\"unknown\"} 2",
        "served_errors_total{method=\"unknown\",code=\"CB1006\"} 1",
        "served_errors_total{method=\"unknown\",code=\"CB1007\"} 1",
        "served_errors_total{method=\"Oracle/ask\",code=\"CB1009\"} 2",
        "served_total{method=\"Oracle/ask\"} 3",
    ] {
        assert!(text.contains(counted), "no {counted} in {text}");
    }
    raw.stop().await;
    node.stop().await;
}

/// Lets short frames wait as if their lane were full.
struct FullLane;

impl Dice for FullLane {
    fn strikes(&self, _: Bug) -> bool {
        false
    }

    fn provokes(&self, place: &'static str) -> bool {
        place == "a-cancel-waits-for-room"
    }
}

#[tokio::test]
async fn answers_to_watches_that_wait_for_room_are_bounded() {
    let town = Town::new();
    let mut env = Env::real();
    env.plant = Plant::with_dice(Arc::new(FullLane));
    let limits = CallLimits {
        served_max: 1,
        ..CallLimits::default()
    };
    let node = Node::builder()
        .identity(town.issue("n1", PeerKind::Node))
        .env(env)
        .call_limits(limits)
        .host::<Oracle>()
        .start()
        .await
        .expect("starts");
    let identity = town.issue("raw", PeerKind::Client);
    let mut raw = Raw::start(&identity, vec![node.local_addr()], Vec::new());
    let link = raw.link().await;
    // They arrive together, and are taken in before any answer is.
    for id in 1..=100 {
        let watch = Watch {
            id: CallId(id),
            incarnation: Incarnation(1),
            actor: ActorId(1),
        };
        append(&link, |out| watch.encode(out));
    }
    let ended = tokio::time::timeout(PATIENCE, link.closed()).await;
    let why = ended.expect("the link is closed");
    assert_eq!(why.code, Code::TooManyInFlight, "{why}");
    raw.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_a_newer_version_is_named_by_its_number() {
    let town = Town::new();
    let metrics = Metrics::new();
    let face = Face::new::<Oracle>(&Policy::default(), |spec| {
        metrics.method(spec.interface, spec.name)
    });
    let hosts = vec![face.expect("bounded shapes").hosted()];
    let mut raw = Raw::start(&town.issue("raw", PeerKind::Node), Vec::new(), hosts);
    let client = Client::builder()
        .identity(town.issue("c1", PeerKind::Client))
        .seed(raw.net.local_addr())
        .connect()
        .await
        .expect("connects");
    let asked = tokio::spawn({
        let oracle = client.service::<Oracle>();
        async move { oracle.ask(1_u32).timeout(PATIENCE).await }
    });
    let link = raw.link().await;
    let frame = raw.frame().await;
    let Ok(Frame::Call(call)) = Frame::decode(&frame) else {
        panic!("{frame:?} is no call");
    };
    append(&link, |out| {
        let error = CallError::new(Code::Io, "s").with_detail("d");
        let reply = Reply {
            id: call.id,
            outcome: Err(error),
        };
        reply.encode(out);
        // The code is before a length and the subject, and a length and the detail.
        let code = out.len() - 6;
        out[code..code + 2].copy_from_slice(&1998_u16.to_le_bytes());
    });
    let error = asked.await.expect("joins").expect_err("an error");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::Unrecognised, Ran::MayHaveRun),
        "{error}"
    );
    assert!(error.detail().contains("CB1998"), "{error}");
    client.close().await;
    raw.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_in_use_for_another_call_closes_the_link() {
    let town = Town::new();
    let node = Node::builder()
        .identity(town.issue("n1", PeerKind::Node))
        .host::<Oracle>()
        .start()
        .await
        .expect("starts");
    for (times, twice) in (1..).zip([Body::Inline(&[]), Body::OnStream]) {
        let identity = town.issue("raw", PeerKind::Client);
        let mut raw = Raw::start(&identity, vec![node.local_addr()], Vec::new());
        let link = raw.link().await;
        let ask = MethodId::of("Oracle", "ask");
        // It waits for the stream that its body is on.
        let waiting = Call {
            body: Body::OnStream,
            ..call(5, InterfaceId::of("Oracle"), ask, &[])
        };
        append(&link, |out| waiting.encode(out).expect("short"));
        let again = Call {
            body: twice,
            ..waiting
        };
        append(&link, |out| again.encode(out).expect("short"));
        let why = tokio::time::timeout(PATIENCE, link.closed()).await;
        why.expect("the node closes");
        raw.stop().await;
        // The peer may hear the end of the connection before the reason: the node's own word counts.
        let closed = format!("callboard_links_refused{{code=\"CB2009\"}} {times}\n");
        let counted = tokio::time::timeout(PATIENCE, async {
            while !node.metrics().contains(&closed) {
                tokio::task::yield_now().await;
            }
        });
        assert!(counted.await.is_ok(), "no {closed} in {}", node.metrics());
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_follows_its_node_from_link_to_link_until_the_process_is_another() {
    let town = Town::new();
    let identity = town.issue("raw", PeerKind::Node);
    let watcher = Node::builder()
        .identity(town.issue("n1", PeerKind::Node))
        .start()
        .await
        .expect("starts");
    let seed = vec![watcher.local_addr()];
    let oracle = watcher.service::<Oracle>();
    let hub = OracleRef::as_raw(&oracle).try_hub().expect("attached");
    let watch = || {
        let addr = ActorAddr {
            node: NodeId::of(identity.name()),
            incarnation: Incarnation(1),
            actor: ActorId(7),
        };
        let seer = Ref::<Seer>::new(Address::Spawned(addr), hub.clone(), None);
        tokio::spawn(watch(&SeerRef::from_raw(seer)))
    };
    let superseded = || LinkDown::new(Code::LinkSuperseded, "by another");
    let reason = async |watch: tokio::task::JoinHandle<super::watch::Down>| {
        let down = tokio::time::timeout(PATIENCE, watch).await;
        down.expect("in time").expect("joins").reason
    };

    // It begins before there is a link.
    let watching = watch();
    let mut raw = Raw::start(&identity, seed.clone(), Vec::new());
    let (link, _) = raw.watched().await;
    link.close(superseded());
    let (link, id) = raw.watched().await;
    assert!(!watching.is_finished(), "the process behind the link lives");
    let down = Down {
        id,
        reason: DownReason::Stopped,
    };
    append(&link, |out| down.encode(out));
    assert_eq!(reason(watching).await, DownReason::Stopped);

    let watching = watch();
    assert!(matches!(
        Frame::decode(&raw.frame().await),
        Ok(Frame::Watch(_))
    ));
    link.close(superseded());
    drop(raw);
    let mut raw = Raw::in_life(2, &identity, seed, Vec::new());
    assert_eq!(reason(watching).await, DownReason::NodeLost);

    // A node that leaves has said so.
    let watching = watch();
    raw.watched().await;
    let before = std::time::Instant::now();
    raw.stop().await;
    assert_eq!(reason(watching).await, DownReason::NodeLost);
    assert!(before.elapsed() < Config::default().peer_timeout);
    watcher.stop().await;
}

/// Far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A host whose stream is full has no room left to say that it ends it for its deadline, and may look at its
/// clock before the reader's wheel turns.
#[tokio::test]
async fn a_stream_that_breaks_off_after_its_deadline_has_ended_by_it() {
    let (hub, spec) = (hub("one"), &Oracle::METHODS[0]);
    for (left, code) in [
        (Duration::from_millis(5), Code::DeadlineExceeded),
        (PATIENCE, Code::StreamBroken),
    ] {
        let at = hub.now() + left;
        let (items, host) = local_pair(stream::pending::<u32>(), spec, None, None);
        let mut items = items.until(Term::new(&hub, spec, at));
        assert!(
            poll!(items.next()).is_pending(),
            "it is on the wheel, which nobody turns"
        );
        while code == Code::DeadlineExceeded && hub.now() < at {
            tokio::task::yield_now().await;
        }
        drop(host);
        let ended = items
            .next()
            .await
            .map(|item| item.map_err(|error| error.code()));
        assert_eq!(ended, Some(Err(code)));
        assert!(items.next().await.is_none());
    }
}
