//! Clients that call keyed actors: they follow the slots of a cluster of real nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard::{
    Actor, Builder, CallError, Client, Code, Ctx, Node, Profile, Service, Wire, handlers,
};
use futures_util::future::join_all;
use tempfile::TempDir;

use crate::support::{DEADLINE, Town, code, eventually};

/// Counts in memory that goes along with its slot; says where it lives.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover)]
pub struct Jar {
    count: u32,
}

#[handlers]
impl Jar {
    pub fn add(&mut self, ctx: &Ctx<Self>) -> (String, u32) {
        self.count += 1;
        (ctx.node_name().to_owned(), self.count)
    }

    #[handler(idempotent)]
    pub fn home(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }
}

/// Answers on every node.
#[derive(Default, Service)]
pub struct Bell;

#[handlers]
impl Bell {
    pub fn ring(&self) {}
}

/// Where nodes are started.
pub struct Place {
    pub town: Town,
    disks: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self {
            town: Town::new(),
            disks: tempfile::tempdir().expect("a folder for the test"),
        }
    }

    /// Begins a node of a cluster that goes by short times.
    pub fn node(&self, name: &str, seeds: &[SocketAddr]) -> Builder {
        self.town
            .node(name)
            .data_dir(self.disks.path().join(name))
            .profile(Profile::fast())
            .seeds(seeds.iter().copied())
            .host::<Jar>()
            .host::<Bell>()
    }

    /// Starts nodes that form a cluster, n1 and so on.
    pub async fn nodes(&self, count: u32, profile: Profile) -> Vec<Node> {
        let mut nodes: Vec<Node> = Vec::new();
        for number in 1..=count {
            let seeds: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
            let node = self.node(&format!("n{number}"), &seeds).profile(profile);
            nodes.push(node.bootstrap_expect(count).start().await.expect("starts"));
        }
        for node in &nodes {
            node.joined(DEADLINE).await.expect("a member");
        }
        eventually("each knows all", || {
            let known = |node: &Node| node.position().members.len() == nodes.len();
            nodes.iter().all(known)
        })
        .await;
        nodes
    }

    pub async fn three(&self) -> Vec<Node> {
        self.nodes(3, Profile::fast()).await
    }
}

/// Calls all keys once; returns where each of them is.
pub async fn homes(client: &Client) -> BTreeMap<String, String> {
    let calls = (0..KEYS).map(|key| async move {
        let key = format!("k{key}");
        let jar = client.actor::<Jar>(&*key);
        let (home, _) = jar.add().timeout(DEADLINE).await.expect("answers");
        (key, home)
    });
    join_all(calls).await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_calls_keys_where_they_are_and_again_when_the_node_that_it_follows_is_lost() {
    let place = Place::new();
    let mut nodes = place.three().await;
    let client = place.town.client(nodes[0].local_addr()).await;
    let before = homes(&client).await;
    let names: BTreeSet<_> = before.values().cloned().collect();
    assert_eq!(names.len(), 3, "the slots are shared: {before:?}");
    for (key, home) in &before {
        let (there, count) = nodes[1].actor::<Jar>(&**key).add().await.expect("answers");
        assert_eq!((&there, count), (home, 2), "one activation, whoever calls");
    }
    // The only node that the client was told of, which it may follow, too. What is on its way to it is
    // lost with it, and made again where that does no harm.
    drop(nodes.remove(0));
    let after = (before.keys()).map(|key| client.actor::<Jar>(&**key).home().timeout(DEADLINE));
    let after = join_all(after).await;
    for ((key, before), after) in before.iter().zip(after) {
        let after = after.expect("answers");
        assert_ne!(after, "n1", "{key}");
        assert!(before == "n1" || *before == after, "what stays stays");
    }
    client.close().await;
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_of_a_client_fails_while_slots_move_to_a_node_that_joins() {
    let place = Place::new();
    let mut nodes = place.three().await;
    let client = Arc::new(place.town.client(nodes[0].local_addr()).await);
    homes(&client).await;
    let over = Arc::new(AtomicBool::new(false));
    let (calls, at_n4) = (
        Arc::new(AtomicUsize::new(KEYS)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers = (0..4).map(|_| {
        let (client, over) = (client.clone(), over.clone());
        let (calls, at_n4) = (calls.clone(), at_n4.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                for key in 0..KEYS {
                    let (home, _) = client.actor::<Jar>(format!("k{key}")).add().await?;
                    calls.fetch_add(1, Ordering::Relaxed);
                    at_n4.fetch_add(usize::from(home == "n4"), Ordering::Relaxed);
                }
            }
            Ok::<_, CallError>(())
        })
    });
    let callers: Vec<_> = callers.collect();
    let seeds: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
    let n4 = place.node("n4", &seeds).start().await.expect("starts");
    nodes.push(n4);
    eventually("keys have moved", || at_n4.load(Ordering::Relaxed) > 100).await;
    over.store(true, Ordering::Relaxed);
    for ended in join_all(callers).await {
        ended.expect("no panic").expect("no call fails");
    }
    let mut ran = 0;
    for key in 0..KEYS {
        let last = client.actor::<Jar>(format!("k{key}")).add().await;
        ran += last.expect("answers").1 as usize - 1;
    }
    let calls = calls.load(Ordering::Relaxed);
    assert_eq!(ran, calls, "each ran once, and nothing is forgotten");
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_of_a_client_waits_for_the_cluster_to_be_formed() {
    let place = Place::new();
    let one = place.node("n1", &[]).bootstrap_expect(2).start().await;
    let one = one.expect("starts");
    let client = place.town.client(one.local_addr()).await;
    let jar = client.actor::<Jar>("k");
    let within = Duration::from_millis(300);
    assert_eq!(code(jar.add().timeout(within).await), Code::SlotUnowned);
    let (answer, two) = tokio::join!(async { jar.add().timeout(DEADLINE).await }, async {
        let two = place.node("n2", &[one.local_addr()]);
        two.bootstrap_expect(2).start().await.expect("starts")
    });
    assert_eq!(answer.expect("answers").1, 1);
    client.close().await;
    two.stop().await;
    one.stop().await;
}

pub const KEYS: usize = 24;
