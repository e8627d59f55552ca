//! Nodes and clients that are shared: any clone stops them, all wait for it, and the last drop ends them.

use std::{pin::pin, sync::Arc, time::Duration};

use callboard::{Code, Node, prelude::*};
use futures_util::poll;
use tokio::{sync::Notify, time::interval};

use crate::support::{DEADLINE, Logged, Town, code, eventually, soon};

#[derive(Default, Service)]
struct Office {
    begun: Arc<Notify>,
    end: Arc<Notify>,
}

#[handlers]
impl Office {
    pub fn open(&self) -> bool {
        true
    }

    /// Ends when the test says so.
    pub async fn audit(&self) -> u32 {
        self.begun.notify_one();
        self.end.notified().await;
        7
    }
}

/// An actor that has its own node.
#[derive(Actor)]
struct Porter {
    node: Node,
}

#[handlers]
impl Porter {
    pub async fn lock_up(&mut self) {
        self.node.stop().await;
    }

    pub fn have_locked_up(&mut self) {
        let node = self.node.clone();
        drop(tokio::spawn(async move { node.stop().await }));
    }
}

/// Hosts an office, and says when its audits begin and lets them end.
fn office(town: &Town, name: &str) -> (callboard::Builder, Arc<Notify>, Arc<Notify>) {
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tells, ends) = (begun.clone(), end.clone());
    let builder = town.node(name).host_with(move |_| Office {
        begun: tells.clone(),
        end: ends.clone(),
    });
    (builder, begun, end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_with_a_clone_works_until_the_node_is_to_stop() {
    let (town, rounds) = (Town::new(), Arc::new(Notify::new()));
    let (builder, ..) = office(&town, "n1");
    let node = builder.start().await.expect("starts");
    let (works, counted) = (node.clone(), rounds.clone());
    let task = tokio::spawn(async move {
        let (office, mut tick) = (
            works.service::<Office>(),
            interval(Duration::from_millis(1)),
        );
        loop {
            tokio::select! {
                biased;
                () = works.stopping() => return works.name().to_owned(),
                _ = tick.tick() => assert_eq!(office.open().await, Ok(true)),
            }
            counted.notify_one();
        }
    });
    for _ in 0..3 {
        soon(rounds.notified()).await;
    }
    node.stop().await;
    assert_eq!(soon(task).await.expect("no panic"), "n1");
    soon(node.stopping()).await;
    assert_eq!(
        code(node.service::<Office>().open().await),
        Code::NodeStopping
    );
    assert!(node.members().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_stopped_begins_nothing() {
    let node = Town::new().node("n1").start().await.expect("starts");
    node.stop().await;
    let make = |node: Node| move |_: &Ctx<Porter>| Porter { node: node.clone() };
    let group = node.supervisor(Strategy::OneForOne);
    let late = [
        node.spawn_with(make(node.clone())),
        group.spawn_with(make(node.clone())),
    ];
    for porter in late {
        let error = soon(porter.have_locked_up()).await.expect_err("stopped");
        assert_eq!(error.code(), Code::NodeStopping, "{error}");
        soon(callboard::watch(&porter)).await;
    }
    let joined = node.joined(Duration::from_millis(10)).await;
    assert_eq!(joined.expect_err("stopped").code(), Code::NotJoined);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stops_a_node_waits_until_it_has_stopped() {
    let town = Town::new();
    let (builder, begun, end) = office(&town, "n1");
    let node = builder.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let audit = tokio::spawn(client.service::<Office>().audit());
    soon(begun.notified()).await;
    let (one, two) = (node.clone(), node.clone());
    let (mut first, mut second) = (pin!(one.stop()), pin!(two.stop()));
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    soon(node.stopping()).await;
    // The call that it waits for is under way, whatever else has ended by now.
    assert!(poll!(&mut first).is_pending());
    assert!(poll!(&mut second).is_pending());
    end.notify_one();
    soon(async { tokio::join!(first, second) }).await;
    assert_eq!(audit.await.expect("no panic"), Ok(7));
    // At once: nothing is left to wait for.
    assert!(poll!(pin!(node.stop())).is_ready());
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_that_nobody_waits_for_any_more_goes_on() {
    let town = Town::new();
    let node = office(&town, "n1").0.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    assert_eq!(client.members().len(), 1);
    assert!(poll!(pin!(node.stop())).is_pending());
    eventually("the node has gone", || client.members().is_empty()).await;
    soon(node.stop()).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_held_is_free_when_it_has_stopped_though_a_clone_is_kept() {
    let (town, disk) = (Town::new(), tempfile::tempdir().expect("a folder"));
    let node = town.node("n1").data_dir(disk.path()).start().await;
    let node = node.expect("starts");
    let addr = node.local_addr();
    node.stop().await;
    let again = office(&town, "n1").0.data_dir(disk.path()).listen(addr);
    let again = again.start().await.expect("port and folder are free");
    assert_eq!(node.local_addr(), again.local_addr());
    assert!(again.service::<Office>().open().await.is_ok());
    again.stop().await;
    // What it had is not the later one's.
    node.stop().await;
    node.rotate(&town.identity("n1", callboard::net::PeerKind::Node))
        .expect("changes nothing");
    drop(node.metrics());
}

#[tokio::test]
async fn a_clone_that_is_dropped_leaves_the_node_and_the_last_one_is_told_of() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let node = office(&town, "n1").0.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let office = client.service::<Office>();
    let last = node.clone();
    drop(node);
    assert_eq!(office.open().await, Ok(true));
    assert_eq!(logged.count("dropped without `stop`"), 0);
    drop(last);
    assert_eq!(logged.count("dropped without `stop`"), 1);
    eventually("the node has gone", || client.members().is_empty()).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_has_its_node_keeps_it_and_may_have_it_stopped() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let own = node.clone();
    let porter = node.spawn_with(move |_| Porter { node: own.clone() });
    let porter = client.attach(porter);
    drop(node);
    soon(porter.have_locked_up()).await.expect("it runs");
    eventually("the node has gone", || client.members().is_empty()).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_waits_for_the_stop_of_its_node_is_dropped_by_it() {
    let town = Town::new();
    let builder = town.node("n1").grace(Duration::from_millis(100));
    let node = builder.start().await.expect("starts");
    let own = node.clone();
    let porter = node.spawn_with(move |_| Porter { node: own.clone() });
    let locked = soon(porter.lock_up().timeout(DEADLINE)).await;
    assert_eq!(code(locked), Code::TurnAborted);
    soon(node.stop()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_is_closed_by_any_of_its_clones_and_outlives_the_drop_of_one() {
    let town = Town::new();
    let node = office(&town, "n1").0.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let office = client.service::<Office>();
    drop(client.clone());
    assert_eq!(office.open().await, Ok(true));
    let other = client.clone();
    soon(async { tokio::join!(client.close(), other.close()) }).await;
    assert!(poll!(pin!(other.close())).is_ready());
    let error = office.open().await.expect_err("closed");
    assert_eq!(error.detail(), "this client is closed");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_dropped_ends_its_links_with_its_last_clone() {
    let town = Town::new();
    let node = office(&town, "n1").0.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let (office, last) = (client.service::<Office>(), client.clone());
    drop(client);
    assert_eq!(office.open().await, Ok(true));
    drop(last);
    let dropped = "this client was dropped; keep it, or a clone of it, for as long as the refs that it gave are used";
    for refused in [office.open().await.map(drop), office.open().send().await] {
        let error = refused.expect_err("refused");
        assert_eq!(
            (error.code(), error.detail()),
            (Code::NodeStopping, dropped)
        );
    }
    node.stop().await;
}
