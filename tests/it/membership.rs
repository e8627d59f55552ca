//! What the one who runs a cluster is told of its members, and who is a member.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex},
};

use callboard::{
    Member, NodeName, Profile,
    env::Env,
    net::{Authority, PeerKind},
    prelude::*,
};
use tracing::{Dispatch, Level, subscriber::DefaultGuard};
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::support::{DEADLINE, Town, connect, eventually, hears, quick};

/// Collects the messages of the log, without their fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Level, String)>>>);

impl Log {
    /// Begins to collect what this thread logs.
    fn begin() -> (Self, (DefaultGuard, Dispatch)) {
        let log = Self::default();
        let subscriber = tracing_subscriber::registry().with(log.clone());
        (log, hears(subscriber))
    }

    /// Returns the messages of a level that contain a text.
    fn with(&self, level: Level, text: &str) -> Vec<String> {
        let lines = self.0.lock().expect("lines");
        let lines = lines
            .iter()
            .filter(|(at, line)| *at == level && line.contains(text));
        lines.map(|(_, line)| line.clone()).collect()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Message(String);
        impl tracing::field::Visit for Message {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        let line = (*event.metadata().level(), message.0);
        self.0.lock().expect("lines").push(line);
    }
}

#[derive(Default, Actor)]
struct Bell;

#[handlers]
impl Bell {
    pub fn ring(&self) -> u32 {
        1
    }
}

fn addrs(members: &[Member]) -> Vec<SocketAddr> {
    members.iter().map(|member| member.addr).collect()
}

#[tokio::test]
async fn two_processes_of_one_name_are_told_on_every_side_and_the_older_comes_back() {
    let (log, _guard) = Log::begin();
    let town = Town::new();
    let n2 = town.node("n2").start().await.expect("starts");
    let seed = n2.local_addr();
    let older = town.node("n1").seed(seed).start().await.expect("starts");
    let older_addr = older.local_addr();
    eventually("n1 is linked", || addrs(&n2.members()) == [older_addr]).await;
    let newer = town.node("n1").seed(seed).start().await.expect("starts");
    let newer_addr = newer.local_addr();
    let newest = |members: Vec<Member>| addrs(&members).contains(&newer_addr);
    eventually("the newer one wins", || newest(n2.members())).await;

    let taken = format!("at {newer_addr}) took over the links of this one");
    eventually("the older one is told", || {
        !log.with(Level::WARN, &taken).is_empty()
    })
    .await;
    let taken = log.with(Level::WARN, &taken);
    assert!(
        taken[0].starts_with("another process named n1 (incarnation ")
            && taken[0].ends_with("; give every node a name of its own (CB2006)"),
        "{taken:?}"
    );
    let twice = format!("from {older_addr}) is refused, because another process named n1");
    eventually("n2 is told", || log.with(Level::WARN, &twice).len() == 1).await;
    // By the one that refuses the older one, which it has linked this one instead of.
    let over = "this process took over the links of another process named n1 (incarnation ";
    eventually("the newer one is told", || {
        log.with(Level::WARN, over).len() == 1
    })
    .await;
    let over = log.with(Level::WARN, over);
    let advice = format!(
        ", at {older_addr}), which still runs and is refused as long as this one is linked; give every node a name of \
         its own, and stop the one that is not to run (CB2006)"
    );
    assert!(over[0].ends_with(&advice), "{over:?}");

    let client = town.client(seed).await;
    eventually("the client has the newer one", || newest(client.members())).await;
    newer.stop().await;
    for members in [&|| n2.members(), &|| client.members()] as [&dyn Fn() -> Vec<Member>; 2] {
        let what = "the older one is linked again";
        eventually(what, || addrs(&members()).contains(&older_addr)).await;
    }
    let back = "this process is linked with n2 again, where another process named n1 was linked in its place";
    eventually(back, || log.with(Level::WARN, back).len() == 1).await;
    client.close().await;
    older.stop().await;
    n2.stop().await;
}

#[tokio::test]
async fn a_node_whose_seed_has_its_own_name_is_told_on_its_side_too() {
    let (log, _guard) = Log::begin();
    let town = Town::new();
    let first = town.node("n1").start().await.expect("starts");
    let seed = first.local_addr();
    let second = town.node("n1").seed(seed).start().await.expect("starts");
    for addr in [seed, second.local_addr()] {
        let met = format!("at {addr}) was met; give every node a name of its own (CB2006)");
        eventually(&met, || !log.with(Level::WARN, &met).is_empty()).await;
    }
    second.stop().await;
    first.stop().await;
}

#[tokio::test]
async fn a_client_that_is_connected_calls_the_actors_of_all_nodes() {
    let town = Town::new();
    let n1 = town.node("n1").start().await.expect("starts");
    let seed = n1.local_addr();
    let mut others = Vec::new();
    for name in ["n2", "n3", "n4"] {
        others.push(town.node(name).seed(seed).start().await.expect("starts"));
    }
    eventually("linked", || n1.members().len() == 3).await;
    let client = town.client(seed).await;
    for node in &others {
        assert_eq!(client.attach(node.spawn::<Bell>()).ring().await, Ok(1));
    }
    // One that it has not heard of.
    let apart = town.node("n5").start().await.expect("starts");
    let error = client.attach(apart.spawn::<Bell>()).ring().await;
    let error = error.expect_err("no link").to_string();
    assert!(
        error.starts_with("CB1004")
            && error.contains("the id of a node that was not linked so far"),
        "{error}"
    );
    assert!(error.contains("; call again in a moment"), "{error}");
    client.close().await;
    for node in others.into_iter().chain([apart, n1]) {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_has_the_name_of_a_node_does_not_take_its_place() {
    let town = Town::new();
    let n1 = town.node("n1").start().await.expect("starts");
    let seed = n1.local_addr();
    let n2 = town.node("n2").seed(seed).start().await.expect("starts");
    eventually("linked", || n1.members().len() == 1).await;
    let known = n1.attach(n2.spawn::<Bell>());
    assert_eq!(known.ring().await, Ok(1));
    let client = connect(town.identity("n2", PeerKind::Client), seed).await;
    // The client is linked on both sides by then.
    assert_eq!(client.attach(n1.spawn::<Bell>()).ring().await, Ok(1));
    assert_eq!(known.ring().await, Ok(1));
    // One that no call has gone to looks for its node.
    assert_eq!(n1.attach(n2.spawn::<Bell>()).ring().await, Ok(1));
    client.close().await;
    assert_eq!(n1.attach(n2.spawn::<Bell>()).ring().await, Ok(1));
    n2.stop().await;
    n1.stop().await;
}

#[tokio::test]
async fn a_client_that_has_the_name_of_a_node_is_told_by_itself_and_by_the_node_that_has_both() {
    let (log, _guard) = Log::begin();
    let town = Town::new();
    let n1 = town.node("n1").start().await.expect("starts");
    let seed = n1.local_addr();
    let n2 = town.node("n2").seed(seed).start().await.expect("starts");
    eventually("linked", || n1.members().len() == 1).await;
    let client = connect(town.identity("n2", PeerKind::Client), seed).await;
    let addr = n2.local_addr();
    for told in [
        &*format!("a node named n2 runs at {addr}, and this client has the same name"),
        "a node and a client are both named n2",
    ] {
        eventually(told, || log.with(Level::WARN, told).len() == 1).await;
        let told = log.with(Level::WARN, told);
        assert!(
            told[0].ends_with("; give the client a name of its own (CB2006)"),
            "{told:?}"
        );
    }
    client.close().await;
    n2.stop().await;
    n1.stop().await;
}

#[tokio::test]
async fn a_seed_that_was_stopped_is_told_as_such() {
    let (log, _guard) = Log::begin();
    let town = Town::new();
    let first = town.node("n1").start().await.expect("starts");
    let seed = first.local_addr();
    let mut config = quick();
    config.dial_timeout = std::time::Duration::from_millis(100);
    let second = town.node("n2").config(config).seed(seed);
    let second = second.start().await.expect("starts");
    eventually("linked", || addrs(&second.members()) == [seed]).await;
    first.stop().await;
    let line = format!(
        "seed {seed} does not answer, as n1, which ran there, has left in order, as a node does that is stopped; start it \
         again if it is to run; trying on"
    );
    eventually(&line, || !log.with(Level::WARN, &line).is_empty()).await;
    assert_eq!(log.with(Level::WARN, "check the address"), [""; 0]);
    second.stop().await;
}

#[tokio::test]
async fn a_node_warns_of_those_of_another_authority_once_in_a_while() {
    let (log, _guard) = Log::begin();
    let (town, other) = (Town::new(), Town::new());
    let node = town.node("n1").start().await.expect("starts");
    let seed = node.local_addr();
    for stranger in ["n2", "n3"] {
        let refused = || {
            let metrics = node.metrics();
            let mut refusals = metrics.lines().filter(|line| line.contains("CB2002"));
            refusals.any(|line| !line.ends_with(" 0"))
        };
        let stranger = other.node(stranger).seed(seed).start().await;
        let stranger = stranger.expect("starts");
        eventually("refused", refused).await;
        stranger.stop().await;
    }
    let warned = "a connection from 127.0.0.1:";
    eventually(warned, || !log.with(Level::WARN, warned).is_empty()).await;
    let warned = log.with(Level::WARN, warned);
    assert_eq!(warned.len(), 1, "{warned:?}");
    let advice = "); give both certificates of the same authority";
    assert!(
        warned[0].contains("CB2002 authority-unknown") && warned[0].ends_with(advice),
        "{warned:?}"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_seed_that_does_not_answer_is_told_once_and_so_is_that_it_does_at_last() {
    let (log, _guard) = Log::begin();
    let town = Town::new();
    // Bound, so that nobody else takes the port; nothing is read from it.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let seed = silent.local_addr().expect("its address");
    let mut config = quick();
    config.dial_timeout = std::time::Duration::from_millis(100);
    let late = town.node("late").config(config).seed(seed);
    let late = late.start().await.expect("starts");
    let line = format!(
        "seed {seed} does not answer (CB2014 peer-timeout: nothing answered at {seed} within \
         100ms; check the address, and that a node runs there); trying on"
    );
    eventually("it is told", || !log.with(Level::WARN, &line).is_empty()).await;
    let tries = || {
        let metrics = late.metrics();
        let line = metrics.lines().find(|line| line.contains("CB2014"));
        let count = line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        count.unwrap_or(0)
    };
    eventually("it is tried again", || tries() >= 3).await;
    assert_eq!(log.with(Level::WARN, "seed "), [line]);

    drop(silent);
    let n1 = town.node("n1").listen(seed).start().await.expect("starts");
    let linked = format!("seed {seed} is linked now");
    eventually("it is told that it answers", || {
        log.with(Level::WARN, &linked).len() == 1
    })
    .await;
    late.stop().await;
    n1.stop().await;
}

#[derive(Default, Actor)]
#[actor(restart = "never")]
struct Fuse;

#[handlers]
impl Fuse {
    pub fn blow(&mut self) {
        panic!("too much current");
    }
}

#[derive(Default, Actor)]
#[actor(key = String)]
struct Tab;

#[handlers]
impl Tab {
    pub fn sum(&self) -> u32 {
        0
    }
}

#[tokio::test]
async fn an_actor_that_is_given_up_is_told_with_what_to_do() {
    let (log, _guard) = Log::begin();
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let fuse = node.spawn::<Fuse>();
    assert!(fuse.blow().await.is_err());
    eventually("it is told", || {
        let told = log.with(
            Level::ERROR,
            "giving up, as its settings say not to restart it",
        );
        told.len() == 1 && told[0].contains("mend what it fails with")
    })
    .await;
    node.stop().await;
}

#[tokio::test]
async fn a_member_that_stops_is_told_by_its_name_and_not_as_a_lost_one() {
    let (log, _guard) = Log::begin();
    let (town, disk) = (Town::new(), tempfile::tempdir().expect("a folder"));
    let first = town.node("first").profile(Profile::fast());
    let first = first.data_dir(disk.path()).bootstrap_expect(1);
    let first = first.start().await.expect("starts");
    first.joined(DEADLINE).await.expect("formed");
    let other = || town.node("other").seed(first.local_addr());
    let stops = other().start().await.expect("starts");
    stops.joined(DEADLINE).await.expect("let in");
    stops.stop().await;
    let stopped = "member other has stopped, and has given its lease up";
    eventually("it is told", || log.with(Level::INFO, stopped).len() == 1).await;
    let lost = "the lease of member other has ended";
    assert_eq!(log.with(Level::WARN, lost), [""; 0]);

    let dies = other().start().await.expect("starts");
    dies.joined(DEADLINE).await.expect("let in again");
    drop(dies);
    eventually("it is told as lost", || {
        log.with(Level::WARN, lost).len() == 1
    })
    .await;
    assert_eq!(log.with(Level::INFO, stopped).len(), 1);
    first.stop().await;
}

#[tokio::test]
async fn a_node_that_goes_alone_says_why_and_only_where_it_matters() {
    let (log, _guard) = Log::begin();
    let development = Authority::development(&Env::real()).expect("an authority");
    let node = |name: &str| {
        let name = NodeName::new(name).expect("a name");
        let identity = development.issue(name, PeerKind::Node).expect("issued");
        Node::builder().identity(identity).config(quick())
    };
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let nobody = silent.local_addr().expect("bound");
    let bare = node("bare").seed(nobody).start().await.expect("starts");

    let free = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let own = free.local_addr().expect("bound");
    drop(free);
    let itself = node("itself").listen(own).seed(own).host::<Tab>();
    let itself = itself.start().await.expect("starts");
    let town = Town::new();
    let foreign = town.node("foreign").start().await.expect("starts");
    let seed = foreign.local_addr();
    let refused = node("refused").seed(seed).host::<Tab>();
    let refused = refused.start().await.expect("starts");
    let unheard = node("unheard").seed(nobody).host::<Tab>();
    let unheard = unheard.start().await.expect("starts");

    let alone = ", so this node activates keyed actors by itself";
    let whys = [
        format!("the only seed, {own}, is this node itself{alone}"),
        format!("seed {seed} gives no link (CB2002"),
        format!("none of the seeds has answered{alone}"),
    ];
    for why in &whys {
        eventually(why, || {
            let told = log.with(Level::WARN, alone);
            told.iter().filter(|it| it.starts_with(why)).count() == 1
        })
        .await;
    }
    // The one that hosts no keyed type has started before them.
    assert_eq!(log.with(Level::WARN, alone).len(), whys.len());
    let own = format!("seed {own} is this node itself");
    assert_eq!(log.with(Level::INFO, &own).len(), 1);
    for node in [bare, itself, refused, unheard, foreign] {
        node.stop().await;
    }
}
