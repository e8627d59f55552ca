//! What errors say: the node, the limit, both shapes, the cause, and what to do about it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use callboard::{
    Code, Strategy,
    env::{Clock, Env, Udp, UdpSocket},
    net::{DenyList, PeerKind, StartError},
    prelude::*,
};
use futures_util::StreamExt;
use tokio::sync::Notify;

use crate::support::{DEADLINE, Logged, Strait, Town, connect, eventually, quick};

/// The interfaces as two versions of a program know them.
mod old {
    use callboard::prelude::*;

    #[derive(Default, Service)]
    pub struct Desk;

    #[handlers]
    impl Desk {
        pub fn relay(&self, text: String) -> u32 {
            text.len() as u32
        }

        pub fn takes(&self, body: Vec<u8>) -> u32 {
            body.len() as u32
        }
    }

    #[derive(Default, Actor)]
    #[actor(backoff = "1ms..2ms", intensity = "2 in 1m")]
    pub struct Till;

    #[handlers]
    impl Till {
        pub fn ring(&self, amount: u32) -> u32 {
            amount
        }

        pub fn jam(&mut self) {
            panic!("the drawer is stuck");
        }
    }

    #[derive(Default, Actor)]
    #[actor(restart = "never")]
    pub struct Fuse;

    #[handlers]
    impl Fuse {
        pub fn blow(&mut self) {
            panic!("too much current");
        }
    }
}

mod new {
    use callboard::prelude::*;

    #[derive(Default, Service)]
    pub struct Desk;

    #[handlers]
    impl Desk {
        pub fn relay(&self, number: u64) -> u32 {
            number as u32
        }
    }

    #[derive(Default, Actor)]
    pub struct Till;

    #[handlers]
    impl Till {
        pub fn ring(&self, amount: String) -> u32 {
            amount.len() as u32
        }

        pub fn refund(&mut self, amount: u32) -> u32 {
            amount
        }
    }
}

/// A folder with folders in it, eight deep.
#[derive(Clone, Debug, Default, PartialEq, Wire)]
#[wire(depth = 8)]
struct Folder {
    inner: Vec<Folder>,
}

impl Folder {
    fn of_rounds(rounds: u32) -> Self {
        (1..rounds).fold(Self::default(), |inner, _| Self { inner: vec![inner] })
    }
}

#[derive(Default, Service)]
struct Cabinet {
    begun: Arc<Notify>,
}

#[derive(Default, Actor)]
#[actor(mailbox = 2)]
struct Slow;

#[handlers]
impl Slow {
    pub async fn work(&mut self) {
        std::future::pending().await
    }
}

/// Makes the service that tells when its call is under way.
fn cabinet(begun: &Arc<Notify>) -> impl Fn(&Ctx<Cabinet>) -> Cabinet + Send + Sync + 'static {
    let begun = begun.clone();
    move |_| Cabinet {
        begun: begun.clone(),
    }
}

#[handlers]
impl Cabinet {
    pub fn file(&self, folder: Folder) -> bool {
        folder.inner.is_empty()
    }

    pub async fn wait(&self) {
        self.begun.notify_one();
        std::future::pending().await
    }
}

/// Returns the two shapes of `the … the shape A here and B there`, with what is before them.
fn shapes(detail: &str) -> (&str, &str, &str) {
    let (what, rest) = detail.split_once(" the shape ").expect("a shape");
    let (here, rest) = rest.split_once(" here and ").expect("the caller's");
    let there = rest.strip_suffix(" there").expect("the other's");
    (what, here, there)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_differ_are_told_with_both_shapes_and_the_node() {
    let town = Town::new();
    let builder = town.node("n1").host::<old::Desk>();
    let node = builder.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;

    let relayed = client.service::<new::Desk>().relay(1).await;
    let service = relayed.expect_err("another type");
    assert_eq!(service.code(), Code::SchemaMismatch);
    assert_eq!(service.subject(), "method Desk/relay on node n1");
    let (what, here, there) = shapes(service.detail());
    assert_eq!(what, "the arguments (u64,) have");
    assert_ne!(here, there);

    let till = serde_json::to_string(&node.spawn::<old::Till>()).expect("encodes");
    let till: new::TillRef = serde_json::from_str(&till).expect("decodes");
    let rung = client.attach(till).ring("1").await;
    let spawned = rung.expect_err("another type");
    assert_eq!(spawned.code(), Code::SchemaMismatch);
    assert_eq!(spawned.subject(), "method Till/ring on node n1");
    let (what, here, there) = shapes(spawned.detail());
    let what_differs = "the arguments (u32,) and the reply u32 together have";
    assert_eq!(what, what_differs);
    assert_ne!(here, there);
    assert_eq!((here.len(), there.len()), (16, 16));

    client.close().await;
    node.stop().await;
}

#[tokio::test]
async fn types_that_differ_are_in_the_log_of_both_nodes_when_they_link() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let first = town.node("n1").host::<old::Desk>();
    let first = first.start().await.expect("starts");
    let second = town.node("n2").host::<new::Desk>().seed(first.local_addr());
    let second = second.start().await.expect("starts");
    for (node, types) in [("n1", "(u64,)"), ("n2", "(String,)")] {
        let told =
            format!("method Desk/relay on node {node}: the arguments {types} have the shape");
        eventually(&told, || logged.count(&told) == 1).await;
    }
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_names_the_limit_and_the_way_round_it() {
    let town = Town::new();
    let builder = town.node("n1").host::<old::Desk>();
    let node = builder.start().await.expect("starts");
    let mut config = quick();
    config.limits.body_bytes_max = 1 << 20;
    let client = Client::builder()
        .identity(town.identity("small", PeerKind::Client))
        .config(config)
        .seed(node.local_addr());
    let client = client.connect().await.expect("connects");
    let taken = client.service::<old::Desk>().takes(vec![0; 2 << 20]).await;
    let error = taken.expect_err("too large");
    assert_eq!(error.code(), Code::BodyTooLarge);
    for part in ["1048576 bytes", "`body_bytes_max`", "stream"] {
        assert!(error.detail().contains(part), "{part}: {error}");
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_is_named() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let till = client.attach(node.spawn::<old::Till>());
    assert_eq!(till.ring(1).await, Ok(1));
    node.stop().await;
    eventually("the link is down", || client.members().is_empty()).await;
    let error = till.ring(2).await.expect_err("no link");
    assert_eq!(error.code(), Code::PeerUnreachable);
    assert_eq!(error.subject(), "method Till/ring on node n1");
    // It has said goodbye, so nothing is to be waited for.
    assert!(
        error
            .detail()
            .starts_with("it has left in order, and actor "),
        "{error}"
    );
    assert!(error.detail().ends_with(" is gone with it"), "{error}");
    assert!(error.advice().starts_with("get a fresh ref "), "{error}");
    let desk = client.service::<old::Desk>().relay("hello").await;
    let error = desk.expect_err("no link");
    assert_eq!(error.code(), Code::NoHost, "{error}");
    let why = "no link to any node is up; n1 has left in order";
    assert_eq!(error.detail(), why);
    let advice = "start the nodes that its seeds are, or wait: they are dialled again and again";
    assert_eq!(error.advice(), advice);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_a_deny_list_keeps_away_says_whose_list_and_what_to_do() {
    let town = Town::new();
    let node = town.node("n1").host::<old::Desk>().start().await;
    let node = node.expect("starts");
    let client = town.client(node.local_addr()).await;
    let till = client.attach(node.spawn::<old::Till>());
    assert_eq!(till.ring(1).await, Ok(1));
    node.deny(DenyList::of(["client"]).expect("a name"));
    eventually("the link is down", || client.members().is_empty()).await;
    let desk = client.service::<old::Desk>().relay("hello").await;
    for (error, what) in [
        (till.ring(2).await.expect_err("denied"), "Till/ring"),
        (desk.expect_err("denied"), "Desk/relay"),
    ] {
        assert_eq!(error.code(), Code::PeerDenied, "{error}");
        assert_eq!(error.subject(), format!("method {what} on node n1"));
        let whose = "the name client is on the deny list of n1";
        assert!(error.detail().ends_with(whose), "{error}");
        let text = error.to_string();
        assert!(text.ends_with("; give it another certificate, or take it off the list"));
    }
    // A node that was never let in hears it when it dials.
    let stranger = town.node("n2").deny(DenyList::of(["n1"]).expect("a name"));
    let stranger = stranger.seed(node.local_addr()).start().await;
    let stranger = stranger.expect("starts");
    let desk = stranger.service::<old::Desk>();
    let error = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let error = desk.relay("hello").await.expect_err("no host");
            if error.code() != Code::NoHost {
                break error;
            }
        }
    });
    let error = error.await.expect("told in time");
    assert_eq!(error.code(), Code::PeerDenied, "{error}");
    let whose = "the name n1 is on the deny list of n2";
    assert!(error.detail().ends_with(whose), "{error}");
    // Off the list, it is a peer as any other.
    node.deny(DenyList::default());
    eventually("the link is up", || !client.members().is_empty()).await;
    assert_eq!(till.ring(3).await, Ok(3));
    stranger.stop().await;
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_through_a_client_that_was_closed_speaks_of_the_client() {
    let town = Town::new();
    let node = town.node("n1").host::<old::Desk>().start().await;
    let node = node.expect("starts");
    let client = town.client(node.local_addr()).await;
    let (desk, till) = (
        client.service::<old::Desk>(),
        client.attach(node.spawn::<old::Till>()),
    );
    assert_eq!(till.ring(1).await, Ok(1));
    client.close().await;
    let errors = [
        desk.relay("hello").await,
        till.ring(2).await,
        desk.relay("hello").send().await.map(|()| 0),
        till.ring(2).send().await.map(|()| 0),
    ];
    for error in errors.map(|result| result.expect_err("closed")) {
        assert_eq!(error.code(), Code::NodeStopping, "{error}");
        assert_eq!(error.detail(), "this client is closed");
        assert!(error.to_string().contains("connect a new one"), "{error}");
    }
    let desk = node.service::<old::Desk>();
    node.stop().await;
    let error = desk.relay("hello").await.expect_err("stopped");
    assert_eq!(error.code(), Code::NodeStopping, "{error}");
    assert_eq!(error.detail(), "this node has stopped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_passed_is_told_with_its_length() {
    let town = Town::new();
    let builder = town.node("n1").grace(Duration::from_millis(50));
    let builder = builder.host_with(cabinet(&Arc::new(Notify::new())));
    let node = builder.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let local = node.spawn::<Slow>();
    let remote = client.attach(node.spawn::<Slow>());
    let services = [node.service::<Cabinet>(), client.service::<Cabinet>()];
    let timeout = Duration::from_millis(50);
    // The first call of each begins, the second one waits behind it.
    let mut calls = Vec::new();
    for _ in 0..2 {
        calls.push(tokio::spawn(local.work().timeout(timeout)));
        calls.push(tokio::spawn(remote.work().timeout(timeout)));
    }
    for service in services {
        calls.push(tokio::spawn(service.wait().timeout(timeout)));
    }
    let mut codes = Vec::new();
    for call in calls {
        let error = call.await.expect("not dropped").expect_err("too late");
        // One that waited says behind which turn.
        let length = error
            .detail()
            .split("; the turn of Slow/work has had")
            .next();
        let length = length.unwrap_or_default();
        assert!(length.ends_with(" within 50ms"), "{error}");
        codes.push(error.code());
    }
    assert!(codes.contains(&Code::DeadlineExceeded), "{codes:?}");
    assert!(codes.contains(&Code::DeadlineBeforeSend), "{codes:?}");
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_was_given_up_tells_why() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let local = node.spawn::<old::Till>();
    let remote = client.attach(local.clone());
    for _ in 0..3 {
        let jammed = local.jam().await.expect_err("a panic");
        assert_eq!(jammed.code(), Code::Panicked);
        assert_eq!(jammed.subject(), "method Till/jam on node n1");
        let why =
            "the drawer is stuck; the actor starts anew, or is given up if it fails too often";
        assert_eq!(jammed.detail(), why);
    }
    let errors = [local.ring(1).await, remote.ring(1).await];
    for error in errors.map(|rung| rung.expect_err("given up")) {
        assert_eq!(error.code(), Code::Quarantined);
        assert_eq!(error.subject(), "method Till/ring on node n1");
        let why = "it failed more than 2 times within 60s, last: the drawer is stuck";
        assert!(error.detail().ends_with(why), "{error}");
        let text = error.to_string();
        // It has no key, and nothing is said of those that have one.
        assert!(
            text.ends_with("; then spawn a new one and hand out its ref"),
            "{text}"
        );
        assert_eq!(text.matches("mend the cause").count(), 1, "{text}");
        assert!(!text.contains("key"), "{text}");
    }
    assert!(node.stop_actor(&local, DEADLINE).await, "it was here");
    for error in [local.ring(1).await, remote.ring(1).await] {
        let error = error.expect_err("forgotten");
        assert_eq!(error.code(), Code::ActorGone, "{error}");
        assert_eq!(error.subject(), "method Till/ring on node n1");
        assert!(error.detail().contains(" has ended"), "{error}");
    }
    let fuse = node.spawn::<old::Fuse>();
    let error = fuse.blow().await.expect_err("a panic");
    assert_eq!(error.code(), Code::Panicked);
    let why = "too much current; the actor has ended, as its settings say not to restart it";
    assert_eq!(error.detail(), why);
    callboard::watch(&fuse).await;
    let error = fuse.blow().await.expect_err("given up");
    assert_eq!(error.code(), Code::Quarantined);
    let why = "its settings say not to restart it: too much current";
    assert!(error.detail().ends_with(why), "{error}");
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sibling_that_was_given_up_too_names_the_one_that_failed() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let group = node.supervisor(Strategy::OneForAll);
    let failing = group.spawn::<old::Till>();
    let sibling = group.spawn::<old::Fuse>();
    let watched = callboard::watch(&sibling);
    for _ in 0..3 {
        assert!(failing.jam().await.is_err());
    }
    let ended = tokio::time::timeout(Duration::from_secs(20), watched).await;
    assert!(ended.is_ok(), "the sibling goes on");
    let error = sibling.blow().await.expect_err("given up");
    let why = "its sibling Till failed more than 2 times within 60s, last: the drawer is stuck";
    assert!(error.detail().ends_with(why), "{error}");
    node.stop().await;
}

/// What `main` prints of an error is its `Debug`.
#[tokio::test]
async fn a_question_mark_in_main_prints_the_advice() {
    let town = Town::new();
    let node = Arc::new(town.node("n1").start().await.expect("starts"));
    let main = async {
        node.service::<old::Desk>().relay("hello").await?;
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    let error = main.await.expect_err("no host");
    let printed = format!("Error: {error:?}");
    assert!(
        printed.starts_with("Error: CB1005 no-host: method Desk/relay: "),
        "{printed}"
    );
    // A node on its own.
    let advice = "; host it on this node, with `.host::<…>()` at its builder, or start a node that hosts it, with this \
                  one as its seed";
    assert!(printed.ends_with(advice), "{printed}");
}

/// Starts what must not start, and returns why.
async fn refused(builder: callboard::Builder) -> StartError {
    builder.start().await.expect_err("refused")
}

#[tokio::test]
async fn a_seed_of_the_other_address_family_is_refused_with_both_addresses() {
    let town = Town::new();
    let seed: SocketAddr = "[::1]:4001".parse().expect("an address");
    let listen: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let error = refused(town.node("n1").listen(listen).seed(seed)).await;
    assert_eq!(error.code(), Code::ConfigInvalid);
    assert_eq!(error.subject(), "seed [::1]:4001");
    for part in ["cannot be dialled from 127.0.0.1:", "a port of IPv4"] {
        assert!(error.detail().contains(part), "{part}: {error}");
    }
    assert!(
        error.to_string().ends_with(
            "; name the seed by its IPv4 address, or listen on an IPv6 one: [::1] or [::]"
        )
    );
    // A name may stand for both.
    let node = town.node("n1").listen(listen).start().await;
    let node = node.expect("starts");
    let client = Client::builder()
        .identity(town.identity("client", PeerKind::Client))
        .config(quick())
        .bind(listen)
        .seeds([seed, node.local_addr()]);
    client.connect().await.expect("connects").close().await;
    node.stop().await;
}

/// The network of a process that may not bind low ports.
#[derive(Debug)]
struct Unprivileged;

impl Udp for Unprivileged {
    fn bind(&self, _: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[tokio::test]
async fn a_port_below_1024_without_the_right_is_told_as_that() {
    let town = Town::new();
    let mut env = Env::real();
    env.udp = Arc::new(Unprivileged);
    let listen = "127.0.0.1:443";
    let error = refused(town.node("n1").env(env).listen(listen)).await;
    assert_eq!(error.code(), Code::BindFailed);
    assert!(error.to_string().contains("; choose a port from 1024 up"));
}

#[tokio::test]
async fn a_setting_that_does_not_fit_another_is_named_as_the_user_set_it() {
    let town = Town::new();
    let mut config = callboard::net::Config::default();
    config.peer_timeout = Duration::from_millis(1500);
    let error = refused(town.node("n1").config(config)).await;
    assert_eq!(error.code(), Code::ConfigInvalid);
    assert_eq!(error.subject(), "setting peer_timeout");
    let detail = "peer_timeout is 1.5s and keep_alive is 1s by default, and keep_alive has to be \
                  below half of peer_timeout: below 750ms here";
    assert_eq!(error.detail(), detail);
    let error = refused(town.node("n1").trace_share(10.0)).await;
    assert_eq!(error.subject(), "setting trace_share");
    assert_eq!(error.detail(), "it is 10.0, and may be 0.0 to 1.0");
    let mut limits = callboard::CallLimits::default();
    limits.attempts_max = 0;
    let error = refused(town.node("n1").call_limits(limits)).await;
    assert_eq!(error.subject(), "setting attempts_max");
    assert_eq!(error.detail(), "it is 0, and may be 1 or more");
}

/// A clock that also runs while the machine is suspended, which it can be.
#[derive(Debug)]
struct Suspended {
    real: Arc<dyn Clock>,
    /// Milliseconds for which it was suspended.
    slept: AtomicU64,
    /// Whether the thread that looks for that has looked, so that it can find the next look late.
    looked: AtomicBool,
}

impl Clock for Suspended {
    fn now(&self) -> Instant {
        self.real.now()
    }

    fn since_boot(&self) -> Duration {
        let now =
            self.real.since_boot() + Duration::from_millis(self.slept.load(Ordering::Acquire));
        if thread::current().name() == Some("pulse") {
            self.looked.store(true, Ordering::Release);
        }
        now
    }

    fn wall(&self) -> SystemTime {
        self.real.wall()
    }
}

#[tokio::test]
async fn a_stop_that_waits_for_a_client_that_is_gone_says_so() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let mut config = quick();
    config.peer_timeout = Duration::from_secs(3);
    let node = town.node("n1").config(config.clone()).start().await;
    let node = node.expect("starts");
    let mut strait = Strait::new().await;
    strait.lead_to(node.local_addr()).await;
    let client = Client::builder().identity(town.identity("client", PeerKind::Client));
    let client = client.config(config).seed(strait.addr()).connect().await;
    let client = client.expect("connects");
    // As one whose process has ended without `close`: nothing comes from it, and it is not taken for lost yet.
    strait.set_open(false);
    node.stop().await;
    let told = "until these peers have taken in what was sent to them: they do not answer";
    assert_eq!(logged.count(told), 1);
    assert_eq!(logged.count("peers=\"client\""), 1);
    client.close().await;
}

#[tokio::test]
async fn a_process_that_stood_still_says_so_and_does_not_blame_those_whom_it_lost() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let first = town.node("n1").start().await.expect("starts");
    let mut strait = Strait::new().await;
    strait.lead_to(first.local_addr()).await;
    let mut env = Env::real();
    let clock = Arc::new(Suspended {
        real: env.clock.clone(),
        slept: AtomicU64::new(0),
        looked: AtomicBool::new(false),
    });
    env.clock = clock.clone();
    // Its peer gives the link up after a second, and cannot dial it.
    let mut config = quick();
    config.peer_timeout = Duration::from_secs(10);
    let second = town.node("n2").env(env).config(config);
    let second = second.seed(strait.addr()).advertise("127.0.0.1:9");
    let second = second.start().await.expect("starts");
    eventually("linked", || second.members().len() == 1).await;
    // The second look is sure to come after the first one was taken in.
    for look in ["a look", "another look"] {
        clock.looked.store(false, Ordering::Release);
        eventually(look, || clock.looked.load(Ordering::Acquire)).await;
    }
    assert_eq!(logged.count("stood still"), 0);
    clock.slept.store(20_000, Ordering::Release);
    let told = "WARN callboard::node::pulse: this process stood still for ";
    eventually(told, || logged.count(told) == 1).await;
    strait.set_open(false);
    let lost = "lost a node, as this process itself stood still for ";
    eventually(lost, || logged.count(lost) == 1).await;
    second.stop().await;
    first.stop().await;
    assert_eq!(logged.count(told), 1);
}

#[tokio::test]
async fn a_client_whose_process_stood_still_says_so_and_does_not_blame_the_node() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let begun = Arc::new(Notify::new());
    let node = town.node("n1").grace(Duration::from_millis(50));
    let node = node.host_with(cabinet(&begun)).start().await;
    let node = node.expect("starts");
    let mut strait = Strait::new().await;
    strait.lead_to(node.local_addr()).await;
    let mut env = Env::real();
    let clock = Arc::new(Suspended {
        real: env.clock.clone(),
        slept: AtomicU64::new(0),
        looked: AtomicBool::new(false),
    });
    env.clock = clock.clone();
    let mut config = quick();
    config.peer_timeout = Duration::from_secs(10);
    let client = Client::builder().env(env).config(config);
    let client = client.identity(town.identity("client", PeerKind::Client));
    let client = client.seed(strait.addr()).connect().await;
    let client = client.expect("connects");
    let call = tokio::spawn(client.service::<Cabinet>().wait().timeout(DEADLINE));
    begun.notified().await;
    // The second look is sure to come after the first one was taken in.
    for look in ["a look", "another look"] {
        clock.looked.store(false, Ordering::Release);
        eventually(look, || clock.looked.load(Ordering::Acquire)).await;
    }
    clock.slept.store(20_000, Ordering::Release);
    let told = "WARN callboard::node::pulse: this process stood still for ";
    eventually(told, || logged.count(told) == 1).await;
    strait.set_open(false);
    let lost = "lost a node, as this process itself stood still for ";
    eventually(lost, || logged.count(lost) == 1).await;
    let error = call.await.expect("not dropped").expect_err("lost");
    assert_eq!(error.code(), Code::PeerLost, "{error}");
    let why = "CB2014 peer-timeout: this process itself stood still for ";
    assert!(error.detail().starts_with(why), "{error}");
    assert!(!error.advice().contains("the node's health"), "{error}");
    client.close().await;
    node.stop().await;
}

#[test]
fn a_start_outside_of_a_runtime_says_where_to_start() {
    let started = futures_util::FutureExt::now_or_never(Town::new().node("n1").start());
    let client = Client::builder().seed("127.0.0.1:1").connect();
    let connected = futures_util::FutureExt::now_or_never(client);
    let errors = [
        started.expect("at once").expect_err("no runtime"),
        connected.expect("at once").expect_err("no runtime"),
    ];
    for error in errors {
        assert_eq!(error.code(), Code::ConfigInvalid, "{error}");
        let text = error.to_string();
        let advice = "is started outside of a Tokio runtime, which runs its tasks; start it inside `#[tokio::main] async fn main`";
        assert!(text.contains(advice), "{text}");
    }
}

/// A clock far from those of the certificates, which end in 4096.
#[derive(Debug)]
struct Late(Arc<dyn Clock>);

impl Clock for Late {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn since_boot(&self) -> Duration {
        self.0.since_boot()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(2200 * 365 * 86_400)
    }
}

#[tokio::test]
async fn an_own_certificate_that_has_expired_stops_the_start_and_the_rotation() {
    let town = Town::new();
    let mut env = Env::real();
    env.clock = Arc::new(Late(env.clock.clone()));
    let error = refused(town.node("n1").env(env.clone())).await;
    assert_eq!(error.code(), Code::CertificateInvalid);
    assert_eq!(error.subject(), "certificate of n1");
    assert!(error.detail().starts_with("it expired "), "{error}");
    assert!(
        error
            .detail()
            .ends_with(" days ago by the clock of this machine")
    );
    assert_eq!(error.advice(), "replace it by a new one, or set the clock");
    let client = Client::builder()
        .identity(town.identity("client", PeerKind::Client))
        .env(env)
        .seed("127.0.0.1:1");
    let error = client.connect().await.expect_err("refused");
    assert_eq!(error.subject(), "certificate of client");
}

#[tokio::test]
async fn a_key_of_another_certificate_and_a_type_hosted_twice_are_told_as_that() {
    let town = Town::new();
    let [one, two] = ["n1", "n2"].map(|name| {
        let name = callboard::NodeName::new(name).expect("a name");
        town.authority()
            .issue_pem(name, PeerKind::Node)
            .expect("issued")
    });
    let authority = town.authority().certificate_pem();
    let mixed = callboard::net::Identity::from_pem(
        authority.as_bytes(),
        one.certificate.as_bytes(),
        two.key.as_bytes(),
    );
    let error = mixed.expect_err("they do not fit");
    assert_eq!(error.code(), Code::CertificateInvalid);
    assert_eq!(error.subject(), "private key");
    assert_eq!(error.detail(), "it is not that of the certificate");
    let twice = town.node("n1").host::<Cabinet>().host::<Cabinet>();
    let error = refused(twice).await;
    assert_eq!(error.code(), Code::DuplicateInterface);
    assert!(
        error.to_string().contains("; host a type once; "),
        "{error}"
    );
}

#[tokio::test]
async fn a_data_folder_in_use_gives_one_advice() {
    let town = Town::new();
    let folder = tempfile::tempdir().expect("made");
    let node = town.node("n1").data_dir(folder.path()).start().await;
    let node = node.expect("starts");
    let error = refused(town.node("n1").data_dir(folder.path())).await;
    assert_eq!(error.code(), Code::DataDirLocked);
    let text = error.to_string();
    assert!(
        text.ends_with(
            ": another process runs with it; stop that process, or give each a folder of its own"
        ),
        "{text}"
    );
    node.stop().await;
    std::fs::write(folder.path().join("life"), "n1").expect("written");
    let text = refused(town.node("n1").data_dir(folder.path())).await;
    assert!(
        text.to_string()
            .ends_with(": its file `life` is damaged; restore the file, or remove the folder"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_dials_a_node_that_stops_is_told_that_it_stops() {
    let town = Town::new();
    let begun = Arc::new(Notify::new());
    let node = town.node("n1").host_with(cabinet(&begun)).start().await;
    let node = node.expect("starts");
    let addr = node.local_addr();
    let early = connect(town.identity("early", PeerKind::Client), addr).await;
    let waits = tokio::spawn(early.service::<Cabinet>().wait().timeout(DEADLINE));
    begun.notified().await;
    let stopping = tokio::spawn(node.stop());
    // Refused calls come AFTER the word that it leaves.
    let file = || early.service::<Cabinet>().file(Folder::default());
    while !file()
        .await
        .is_err_and(|error| error.code() == Code::NodeStopping)
    {}
    let late = Client::builder()
        .identity(town.identity("late", PeerKind::Client))
        .config(quick())
        .wait(Duration::from_secs(1))
        .seed(addr);
    let error = late.connect().await.expect_err("it stops");
    assert_eq!(error.code(), Code::SeedUnreachable);
    let why = format!("{addr}: CB2013 node-leaving: it is stopping");
    assert!(error.detail().contains(&why), "{error}");
    early.close().await;
    drop(waits.await);
    stopping.await.expect("stops");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_the_host_of_an_actor_lacks_is_named() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let till = serde_json::to_string(&node.spawn::<old::Till>()).expect("encodes");
    let till: new::TillRef = serde_json::from_str(&till).expect("decodes");
    let error = client.attach(till).refund(1).await.expect_err("not there");
    assert_eq!(error.code(), Code::UnknownMethod);
    assert_eq!(error.subject(), "method Till/refund on node n1");
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_nests_too_deep_is_counted_in_the_rounds_of_its_type() {
    let town = Town::new();
    let node = town.node("n1").host::<Cabinet>().start().await;
    let node = node.expect("starts");
    let client = town.client(node.local_addr()).await;
    let cabinet = client.service::<Cabinet>();
    assert_eq!(cabinet.file(Folder::of_rounds(8)).await, Ok(false));
    let filed = cabinet.file(Folder::of_rounds(9)).await;
    let error = filed.expect_err("one round more");
    assert_eq!(error.code(), Code::BodyOverLimit);
    assert!(
        error.detail().contains("the 8 rounds that ")
            && error
                .detail()
                .contains("Folder allows with #[wire(depth = 8)]"),
        "{error}"
    );
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_is_told_with_its_size() {
    let town = Town::new();
    let builder = town.node("n1").grace(Duration::from_millis(50));
    let node = builder.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let slow = client.attach(node.spawn::<Slow>());
    let timeout = Duration::from_millis(50);
    let error = loop {
        if let Err(error) = slow.work().send().await {
            break error;
        }
        if let Err(error) = slow.work().timeout(timeout).await
            && error.code() == Code::MailboxFull
        {
            break error;
        }
    };
    assert_eq!(error.detail(), "2 calls wait in it, its setting `mailbox`");
    client.close().await;
    node.stop().await;
}

/// The table says of [`Code::TurnAborted`] that the actor was stopped, and a service's turn ends no
/// other way than an actor's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_of_a_service_that_outlives_the_grace_period_is_told_as_aborted() {
    let town = Town::new();
    let begun = Arc::new(Notify::new());
    let builder = town.node("n1").grace(Duration::from_millis(100));
    let node = builder.host_with(cabinet(&begun)).start().await;
    let node = node.expect("starts");
    let client = town.client(node.local_addr()).await;
    let cabinet = client.service::<Cabinet>();
    let waits = tokio::spawn(cabinet.wait().timeout(DEADLINE));
    begun.notified().await;
    node.stop().await;
    let error = waits.await.expect("not dropped").expect_err("aborted");
    assert_eq!(error.code(), Code::TurnAborted, "{error}");
    assert_eq!(error.subject(), "method Cabinet/wait on node n1");
    let why = "the node is stopping, and its grace was over";
    assert_eq!(error.detail(), why);
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_waits_names_all_whose_calls_it_waits_for_and_what_they_are() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let (town, begun) = (Town::new(), Arc::new(Notify::new()));
    let node = town.node("n1").grace(Duration::from_millis(1500));
    let node = node.host_with(cabinet(&begun)).start().await;
    let node = node.expect("starts");
    let filed = tokio::spawn(node.service::<Cabinet>().wait().timeout(DEADLINE));
    begun.notified().await;
    let worked = tokio::spawn(node.spawn::<Slow>().work().timeout(DEADLINE));
    let runs = "callboard_mailbox_wait_seconds_count{actor=\"Slow\"} 1";
    eventually("it runs", || node.metrics().contains(runs)).await;
    node.stop().await;
    // The younger one is stopped first, and takes all of the grace.
    let both = "actor=\"Slow\" running=1 waiting=0 also=\"service Cabinet (1 running, 0 waiting)\"";
    assert_eq!(logged.count(both), 1);
    assert_eq!(logged.count("service=\"Cabinet\" running=1 waiting=0"), 1);
    for call in [filed, worked] {
        let error = call.await.expect("not dropped").expect_err("aborted");
        assert_eq!(error.code(), Code::TurnAborted, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_comes_while_the_host_stops_says_that_it_stops() {
    let town = Town::new();
    let begun = Arc::new(Notify::new());
    let node = town.node("n1").host_with(cabinet(&begun)).start().await;
    let node = node.expect("starts");
    let client = town.client(node.local_addr()).await;
    let timeout = Duration::from_secs(1);
    let far = tokio::spawn(client.service::<Cabinet>().wait().timeout(timeout));
    begun.notified().await;
    let near = tokio::spawn(node.service::<Cabinet>().wait().timeout(timeout));
    begun.notified().await;
    node.stop().await;
    for (call, who) in [(far, "node n1"), (near, "this node")] {
        let error = call.await.expect("not dropped").expect_err("too late");
        assert_eq!(error.code(), Code::DeadlineExceeded, "{error}");
        let on = if who == "node n1" { " on node n1" } else { "" };
        assert_eq!(error.subject(), format!("method Cabinet/wait{on}"));
        assert_eq!(
            error.detail(),
            format!("no reply within 1s; {who} is stopping")
        );
    }
    client.close().await;
}

/// An actor that this version cannot keep.
#[derive(Default, Wire, Actor)]
#[actor(key = String, persist)]
struct Ledger;

#[handlers]
impl Ledger {
    pub fn read(&self) -> u32 {
        0
    }
}

#[tokio::test]
async fn an_actor_that_persists_is_refused_with_one_advice() {
    let town = Town::new();
    let error = refused(town.node("n1").host::<Ledger>()).await;
    assert_eq!(error.code(), Code::PersistUnsupported);
    let text = error.to_string();
    assert_eq!(text.matches("remove `persist`").count(), 1, "{text}");
    assert!(!text.contains("with a store"), "{text}");
}

/// Its handlers panic, in each of the ways that there are.
#[derive(Default, Service)]
struct Squib;

#[handlers]
impl Squib {
    pub fn bang(&self) {
        panic!("bang");
    }

    pub fn fizzles(&self) -> impl Stream<Item = u32> + use<> {
        futures_util::stream::iter([1, 2]).map(|number| match number {
            1 => number,
            _ => panic!("fizz"),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_told_with_the_node_that_it_was_on() {
    let town = Town::new();
    let (one, two) = (
        town.node("n1").host::<Squib>(),
        town.node("n2").host::<Squib>(),
    );
    let (one, two) = (
        one.start().await.expect("n1"),
        two.start().await.expect("n2"),
    );
    for node in [&one, &two] {
        let client = town.client(node.local_addr()).await;
        for squib in [node.service::<Squib>(), client.service::<Squib>()] {
            let banged = squib.bang().await.expect_err("a panic");
            assert_eq!(banged.code(), Code::Panicked, "{banged}");
            let on = format!("method Squib/bang on node {}", node.name());
            assert_eq!(banged.subject(), on);
            let mut items = squib.fizzles().await.expect("a stream");
            assert_eq!(items.next().await, Some(Ok(1)));
            let error = items.next().await.expect("an end").expect_err("a panic");
            assert_eq!(error.code(), Code::Panicked, "{error}");
            let on = format!("method Squib/fizzles on node {}", node.name());
            assert_eq!(error.subject(), on);
        }
        client.close().await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ref_of_before_its_node_started_again_is_told_as_that() {
    let town = Town::new();
    let before = town.node("n1").start().await.expect("starts");
    let addr = before.local_addr();
    let client = town.client(addr).await;
    let till = client.attach(before.spawn::<old::Till>());
    let stopped = client.attach(before.spawn::<old::Fuse>());
    assert_eq!(till.ring(1).await, Ok(1));
    assert!(before.stop_actor(&stopped, Duration::from_secs(1)).await);
    let error = stopped.blow().await.expect_err("it has ended");
    assert_eq!(error.code(), Code::ActorGone, "{error}");
    assert!(error.detail().ends_with("has ended"), "{error}");
    before.stop().await;
    let after = town.node("n1").listen(addr).start().await.expect("again");
    eventually("it is linked again", || !client.members().is_empty()).await;
    let error = till.ring(2).await.expect_err("another life");
    assert_eq!(error.code(), Code::ActorGone, "{error}");
    assert_eq!(error.subject(), "method Till/ring on node n1");
    let why = "is of an earlier life of the node, which has started again, unless its log warns of another process of its name";
    assert!(error.detail().ends_with(why), "{error}");
    let advice = "from where this one came from, such as the service that spawned the actor";
    assert!(error.to_string().contains(advice), "{error}");
    client.close().await;
    after.stop().await;
}

#[tokio::test]
async fn an_authority_that_did_not_issue_the_own_certificate_stops_the_start_and_the_rotation() {
    let (town, other) = (Town::new(), Town::new());
    let foreign = |name: &str, kind| {
        let theirs = other.authority().certificate_pem();
        let mixed = town.identity(name, kind).trusting(theirs.as_bytes());
        mixed.expect("read")
    };
    let assert_told = |error: &StartError, name: &str| {
        assert_eq!(error.code(), Code::CertificateInvalid, "{error}");
        assert_eq!(error.subject(), format!("certificate of {name}"));
        let why = "the authority that was given with it did not issue it";
        assert!(error.detail().starts_with(why), "{error}");
        let advice = "give the authority's file first, then the certificate and its key; while";
        assert!(error.advice().starts_with(advice), "{error}");
    };
    let builder = Node::builder().identity(foreign("n1", PeerKind::Node));
    assert_told(&refused(builder).await, "n1");
    let client = Client::builder().identity(foreign("c1", PeerKind::Client));
    let error = client.seed("127.0.0.1:1").connect().await;
    assert_told(&error.expect_err("refused"), "c1");
    let node = town.node("n1").start().await.expect("starts");
    let error = node.rotate(&foreign("n1", PeerKind::Node));
    assert_told(&error.expect_err("refused"), "n1");
    node.stop().await;
}

/// Panics wherever it can.
#[derive(Default, Service)]
struct Cannon;

#[handlers]
impl Cannon {
    pub fn fire(&self, what: String) -> u32 {
        panic!("{what} exploded")
    }

    pub fn salvo(&self) -> impl Stream<Item = u32> + use<> {
        futures_util::stream::iter(0..).map(|shot| match shot {
            0 => shot,
            _ => panic!("the second shot exploded"),
        })
    }

    pub fn broadside(&self) -> impl Stream<Item = u32> + use<> {
        futures_util::stream::iter(0..1).map(|_| panic!("the deck broke"))
    }
}

#[tokio::test]
async fn a_panic_of_a_service_is_in_the_log_with_its_method_and_its_caller() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let node = town.node("n1").host::<Cannon>().start().await;
    let node = node.expect("starts");
    let client = town.client(node.local_addr()).await;
    let (near, far) = (node.service::<Cannon>(), client.service::<Cannon>());
    let fired = far.fire("the powder").await.expect_err("a panic");
    assert_eq!(fired.code(), Code::Panicked);
    let told = "ERROR callboard::call::panics: a handler panicked: the service goes on; mend what it panics for; more of this \
                method within 10s are counted, and told with the next one code=\"CB1016\" \
                method=\"Cannon/fire\" caller=\"client client\" panic=\"the powder exploded\"";
    assert_eq!(logged.count(told), 1);
    // The same method is told of again after a while, another one at once.
    for _ in 0..20 {
        near.fire("the barrel").await.expect_err("a panic");
        let sent = near.fire("the wheel").send().await;
        sent.expect("taken");
    }
    assert_eq!(logged.count("method=\"Cannon/fire\""), 1);
    let mut shots = near.salvo().await.expect("a stream");
    assert_eq!(shots.next().await, Some(Ok(0)));
    let last = shots.next().await.expect("an end").expect_err("a panic");
    assert_eq!(last.code(), Code::Panicked);
    let told = "a handler panicked: the stream ends, and whose it is goes on; mend what it panics for; more of \
                this method within 10s are counted, and told with the next one code=\"CB1016\" \
                method=\"Cannon/salvo\" caller=\"node n1\" panic=\"the second shot exploded\"";
    assert_eq!(logged.count(told), 1);
    let mut shots = far.broadside().await.expect("a stream");
    let last = shots.next().await.expect("an end").expect_err("a panic");
    assert_eq!(last.code(), Code::Panicked);
    let told = "a handler panicked: the stream ends, and whose it is goes on; mend what it panics for; more of \
                this method within 10s are counted, and told with the next one code=\"CB1016\" \
                method=\"Cannon/broadside\" caller=\"client client\" panic=\"the deck broke\"";
    assert_eq!(logged.count(told), 1);
    client.close().await;
    node.stop().await;
}

#[tokio::test]
async fn a_panic_of_an_actor_and_its_restart_are_in_the_log_with_its_address() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let tills = [node.spawn::<old::Till>(), node.spawn::<old::Till>()];
    for till in &tills {
        till.jam().await.expect_err("a panic");
        till.ring(1).await.expect("started anew");
    }
    let address = |till: &old::TillRef| {
        let text = format!("{till:?}");
        let (_, address) = text.split_once('@').expect("an address");
        address.trim_end_matches(')').to_owned()
    };
    let told = format!(
        "a handler panicked: the actor starts anew, or is given up if it fails too often; mend what it panics for; more \
         of this method within 10s are counted, and told with the next one code=\"CB1016\" \
         method=\"Till/jam\" address={} caller=\"node n1\" panic=\"the drawer is stuck\"",
        address(&tills[0])
    );
    assert_eq!(logged.count(&told), 1);
    for till in &tills {
        let told = format!(
            "WARN callboard::actor::notice: actor failed; restarting actor=\"Till\" address={} \
             failure=\"the drawer is stuck\" delay=",
            address(till)
        );
        assert_eq!(logged.count(&told), 1, "{told}");
    }
    node.stop().await;
}

/// Finds a node by a name once it is told its address.
#[derive(Debug, Default)]
struct Names(std::sync::Mutex<Option<SocketAddr>>);

impl callboard::env::Names for Names {
    fn look_up(&self, _: &str) -> callboard::env::Lookup {
        let found = *self.0.lock().expect("no panic");
        let found = found.map(|addr| vec![addr]);
        Box::pin(async { found.ok_or_else(|| io::Error::other("nobody knows it")) })
    }
}

#[tokio::test]
async fn a_seed_whose_name_is_not_found_is_told_with_what_to_do_and_so_is_its_end() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let (town, names) = (Town::new(), Arc::new(Names::default()));
    let first = town.node("n1").start().await.expect("starts");
    let mut env = Env::real();
    env.names = names.clone();
    let late = town.node("n2").env(env).seed("shop.internal:4001");
    let late = late.start().await.expect("starts");
    let told = "seed shop.internal:4001 is not found (nobody knows it; check how the name is written, and that this machine \
                can look it up, as by `getent hosts NAME`); trying on";
    eventually(told, || logged.count(told) == 1).await;
    *names.0.lock().expect("no panic") = Some(first.local_addr());
    let found = "seed shop.internal:4001 is found now";
    eventually(found, || logged.count(found) == 1).await;
    assert_eq!(logged.count(told), 1);
    late.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_node_that_is_lost_is_told_with_what_to_do_and_so_is_that_it_is_linked_again() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let first = town.node("n1").start().await.expect("starts");
    let mut strait = Strait::new().await;
    strait.lead_to(first.local_addr()).await;
    let client = town.client(strait.addr()).await;
    assert_eq!(logged.count("lost a node"), 0);
    strait.set_open(false);
    let told = "lost a node, from which nothing has come for 1s: calls go to others, and it is dialled again and again; if \
                it is to run, look whether its process does, and at the network between peer=n1 addr=127.0.0.1:";
    eventually(told, || logged.count(told) == 1).await;
    assert_eq!(logged.count("is linked again"), 0);
    strait.set_open(true);
    let again = "a node that was lost is linked again, after ";
    eventually(again, || logged.count(again) == 1).await;
    client.close().await;
    first.stop().await;
    assert_eq!((logged.count("lost a node"), logged.count(again)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_clients_alone_are_linked_with_says_that_no_node_is() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let error = node.service::<Cabinet>().wait().await;
    let error = error.expect_err("nobody hosts it");
    assert_eq!(error.code(), Code::NoHost);
    assert_eq!(error.detail(), "no link to any node is up");
    client.close().await;
    node.stop().await;
}
