//! Nodes that go: by draining, by stopping, and those that cannot.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{CallError, Client, Code, DrainError, Node, Profile, Service, handlers};
use futures_util::future::join_all;
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    followed::{Bell, BellRef, Jar, JarRef, KEYS, Place, homes},
    support::{DEADLINE, SOON, Town, eventually},
};

/// Calls keys and a service without a pause, until it is told to end.
#[derive(Default)]
pub struct Load {
    over: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<Result<(), CallError>>>,
}

impl Load {
    pub fn add(&mut self, jars: Vec<JarRef>, bell: BellRef) {
        let (over, calls) = (self.over.clone(), self.calls.clone());
        self.callers.push(tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                for jar in &jars {
                    jar.add().await?;
                    bell.ring().await?;
                    calls.fetch_add(2, Ordering::Relaxed);
                }
            }
            Ok(())
        }));
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    pub async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for ended in join_all(self.callers).await {
            ended.expect("no panic").expect("no call fails");
        }
    }
}

/// Returns the lives of nodes: another one begins when a lease is lost.
fn lives(nodes: &[Node]) -> Vec<callboard::Incarnation> {
    let lives = nodes.iter().map(|node| node.position().me.incarnation);
    lives.collect()
}

fn jars(node: &Node) -> Vec<JarRef> {
    (0..KEYS)
        .map(|key| node.actor::<Jar>(format!("k{key}")))
        .collect()
}

async fn balanced(client: &Client, name: &str) {
    let deadline = Instant::now() + SOON * 4;
    while !homes(client).await.values().any(|home| home == name) {
        assert!(Instant::now() < deadline, "{name} has got no slots");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Lets nobody through before it is opened.
#[derive(Service)]
pub struct Turnpike {
    entered: Arc<AtomicUsize>,
    opens: Arc<Notify>,
}

#[handlers]
impl Turnpike {
    pub async fn pass(&self) -> u32 {
        let opens = self.opens.notified();
        self.entered.fetch_add(1, Ordering::Relaxed);
        opens.await;
        7
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_until_the_calls_of_services_have_ended() {
    let town = Town::new();
    let (entered, opens) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
    let parts = (entered.clone(), opens.clone());
    let node = town.node("n1").host_with(move |_| Turnpike {
        entered: parts.0.clone(),
        opens: parts.1.clone(),
    });
    let node = node.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let pike = client.service::<Turnpike>();
    let call = tokio::spawn(pike.pass().timeout(DEADLINE));
    eventually("it runs", || entered.load(Ordering::Relaxed) == 1).await;
    let mut drain = Box::pin(node.drain(DEADLINE));
    let early = tokio::time::timeout(Duration::from_millis(400), &mut drain).await;
    early.expect_err("the call still runs");
    opens.notify_waiters();
    drain.await.expect("drained");
    assert_eq!(call.await.expect("no panic"), Ok(7));
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_are_drained_and_started_again_in_turn_and_no_call_fails() {
    let place = Place::new();
    let mut nodes = place.three().await;
    let addrs: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
    let cluster = nodes[0].cluster_id();
    // It hosts nothing, and has no slots.
    let caller = place.town.node("caller").seeds(addrs.clone()).start().await;
    let caller = caller.expect("starts");
    caller.joined(DEADLINE).await.expect("a member");
    let client = place.town.client(addrs[0]).await;
    homes(&client).await;
    let mut load = Load::default();
    load.add(jars(&caller), caller.service::<Bell>());
    let keys = (0..KEYS).map(|key| client.actor::<Jar>(format!("k{key}")));
    load.add(keys.collect(), client.service::<Bell>());

    for (name, addr) in ["n1", "n2", "n3"].into_iter().zip(addrs.clone()) {
        let node = nodes.remove(0);
        let (life, others) = (node.position().me.incarnation, lives(&nodes));
        assert!(node.draining().is_none());
        node.drain(DEADLINE).await.expect("drained");
        let left = node.draining().expect("it is to go");
        assert_eq!(left.slots, 0);
        assert_ne!(node.leader(), Some(node.id()), "another one leads");
        let there = homes(&client).await;
        assert!(there.values().all(|home| home != name), "{there:?}");
        node.stop().await;
        assert_eq!(lives(&nodes), others, "nobody has lost a lease");

        let seeds: Vec<SocketAddr> = addrs.iter().copied().filter(|it| *it != addr).collect();
        let node = place.node(name, &seeds).listen(addr).bootstrap_expect(3);
        let node = node.start().await.expect("starts again");
        node.joined(DEADLINE).await.expect("a member again");
        assert_eq!(node.cluster_id(), cluster);
        assert!(node.position().me.incarnation > life);
        balanced(&client, name).await;
        let before = load.calls();
        eventually("calls go on", || load.calls() > before + 100).await;
        nodes.push(node);
    }
    load.end().await;
    client.close().await;
    caller.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_has_nobody_wait_for_its_lease() {
    let place = Place::new();
    let mut nodes = place.nodes(3, Profile::lan()).await;
    let addr = nodes[2].local_addr();
    let client = place.town.client(addr).await;
    let before = homes(&client).await;
    assert!(before.values().any(|home| home == "n1"), "{before:?}");
    nodes.remove(0).stop().await;
    let stopped = Instant::now();
    let after = homes(&client).await;
    assert!(after.values().all(|home| home != "n1"), "{after:?}");
    let took = stopped.elapsed();
    assert!(took < Profile::lan().lease / 2, "{took:?}");
    client.close().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_only_member_is_not_drained_and_goes_on() {
    let place = Place::new();
    let nodes = place.nodes(1, Profile::fast()).await;
    let [node] = &nodes[..] else {
        panic!("one was asked for");
    };
    let error = node.drain(SOON).await.expect_err("nobody takes over");
    assert_eq!(error, DrainError::OnlyMember);
    assert_eq!(error.code(), Code::NotDrained);
    assert_eq!(node.draining(), None);
    let jar = node.actor::<Jar>("k");
    jar.add().await.expect("it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_a_drain_says_so_at_its_limit() {
    let place = Place::new();
    let mut nodes = place.three().await;
    // Without a word to anybody but their transport.
    drop(nodes.split_off(1));
    let within = Duration::from_secs(1);
    let begun = Instant::now();
    let error = nodes[0].drain(within).await.expect_err("nobody leads");
    assert_eq!(error, DrainError::NoLeader { within });
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(nodes[0].draining().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_slots_nobody_else_may_have_is_not_drained_within_the_limit() {
    let place = Place::new();
    let nodes = place.nodes(1, Profile::fast()).await;
    let other = place.town.node("other").seed(nodes[0].local_addr());
    let other = other.start().await.expect("starts");
    other.joined(DEADLINE).await.expect("a member");
    let jar = other.actor::<Jar>("k");
    jar.add().timeout(DEADLINE).await.expect("answers");
    eventually("it knows the other one", || {
        nodes[0].position().members.len() == 2
    })
    .await;
    let within = Duration::from_secs(1);
    let error = nodes[0].drain(within).await.expect_err("nobody may vote");
    let DrainError::LimitPassed { left, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(left.stage, callboard::DrainStage::Seat);
    assert!(left.slots > 0);
    jar.add().await.expect("it goes on");
    other.stop().await;
}
