//! Actors that are made where the load, or their caller, says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use callboard::{CallLimits, Code, DownReason, Policy, net::PeerKind, prelude::*, watch};
use futures_util::{FutureExt, future::join_all};
use tokio::sync::Semaphore;

use crate::support::{DEADLINE, SOON, Town, code, connect, eventually, soon};

#[derive(Default, Actor)]
#[actor(placement = "least_loaded", backoff = "1ms..2ms")]
struct Room {
    guests: u32,
}

#[handlers]
impl Room {
    pub fn enter(&mut self) -> u32 {
        self.guests += 1;
        self.guests
    }

    pub fn fall_in(&mut self) {
        panic!("the roof");
    }

    pub fn node(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }

    pub fn close(&self, ctx: &Ctx<Self>) {
        ctx.stop(SOON);
    }

    /// Makes a room beside this one, wherever that is.
    pub async fn annex(&self, ctx: &Ctx<Self>) -> Result<RoomRef, CallError> {
        ctx.spawn_placed::<Room>().await
    }

    /// Makes one on a node, and ends.
    pub async fn move_to(&self, ctx: &Ctx<Self>, node: String) -> Result<RoomRef, CallError> {
        let room = ctx.spawn_on::<Room>(node).await?;
        ctx.stop(SOON);
        Ok(room)
    }
}

/// Callers of it need not link who implements it.
#[contract(spawned)]
pub trait Halls {
    fn seats(&self) -> u32;
}

#[derive(Default, Actor)]
#[actor(contract = Halls, placement = "least_loaded")]
struct TownHall;

#[handlers(contract = Halls)]
impl TownHall {
    pub fn seats(&self) -> u32 {
        300
    }
}

/// Says how many there are.
#[derive(Actor)]
#[actor(placement = "pinned")]
struct Bridge(Arc<AtomicUsize>);

#[handlers]
impl Bridge {
    pub fn node(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }
}

impl Bridge {
    fn counted(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Keeps its callers waiting.
#[derive(Service)]
struct Gate(Arc<Semaphore>);

#[handlers]
impl Gate {
    #[handler(timeout = "60s")]
    pub async fn pass(&self) {
        let _ = self.0.acquire().await;
    }
}

/// Starts nodes that are all linked with each other.
async fn nodes(builders: Vec<callboard::Builder>) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for builder in builders {
        let node = builder.seeds(nodes.iter().map(Node::local_addr));
        nodes.push(node.start().await.expect("starts"));
    }
    for node in &nodes {
        let others = nodes.len() - 1;
        eventually("all are linked", || node.members().len() == others).await;
    }
    nodes
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.stop().await;
    }
}

async fn hosting_rooms(town: &Town, names: &[&str]) -> Vec<Node> {
    let builder = |name: &&str| town.node(name).host::<Room>();
    nodes(names.iter().map(builder).collect()).await
}

/// How many of the rooms are on each node.
async fn count(rooms: &[RoomRef]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in join_all(rooms.iter().map(|room| room.node().into_future())).await {
        *counts.entry(node.expect("it runs")).or_default() += 1;
    }
    counts
}

fn placed_on(node: &Node) -> u64 {
    let usage = node.usage();
    let mut held = usage
        .iter()
        .filter(|it| it.what == "actors that were placed here");
    held.next().expect("listed").now
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_spread_evenly_over_the_nodes_that_host_their_type() {
    let town = Town::new();
    let mut builders: Vec<_> = ["n1", "n2", "n3"]
        .iter()
        .map(|name| town.node(name).host::<Room>())
        .collect();
    builders.push(town.node("n4"));
    let nodes = nodes(builders).await;
    // One after the other, from a node that hosts them and from one that does not.
    let mut rooms = Vec::new();
    for from in [&nodes[0], &nodes[3]] {
        for _ in 0..150 {
            rooms.push(from.spawn_placed::<Room>().await.expect("made"));
        }
    }
    let counts = count(&rooms).await;
    let most = |bound: usize| {
        let of = |name: &str| counts.get(name).copied().unwrap_or_default();
        ["n1", "n2", "n3"]
            .iter()
            .all(|name| of(name).abs_diff(100) <= bound)
    };
    assert!(most(10) && counts.len() == 3, "{counts:?}");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_that_are_made_at_once_spread_too() {
    let town = Town::new();
    let nodes = hosting_rooms(&town, &["n1", "n2", "n3"]).await;
    let spawned = (0..300).map(|at| nodes[at % 2].spawn_placed::<Room>());
    let rooms: Result<Vec<_>, _> = join_all(spawned).await.into_iter().collect();
    let counts = count(&rooms.expect("all are made")).await;
    let close = |count: &usize| count.abs_diff(100) <= 50;
    assert!(
        counts.len() == 3 && counts.values().all(close),
        "{counts:?}"
    );
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_much_to_do_gets_fewer() {
    let town = Town::new();
    let open = Arc::new(Semaphore::new(0));
    let gate = open.clone();
    let busy = town.node("n2").host::<Room>();
    let busy = busy.host_with(move |_: &Ctx<Gate>| Gate(gate.clone()));
    let builders = vec![
        town.node("n1").host::<Room>(),
        busy,
        town.node("n3").host::<Room>(),
    ];
    let nodes = nodes(builders).await;
    let client = town.client(nodes[1].local_addr()).await;
    let calls: Vec<_> = (0..200)
        .map(|_| tokio::spawn(client.service::<Gate>().pass().into_future()))
        .collect();
    eventually("the calls are there", || {
        let held = nodes[1].usage();
        held.iter()
            .any(|it| it.what == "calls of a peer" && it.now == 200)
    })
    .await;
    let mut rooms = Vec::new();
    for _ in 0..90 {
        rooms.push(nodes[0].spawn_placed::<Room>().await.expect("made"));
    }
    let counts = count(&rooms).await;
    assert_eq!(counts.get("n2"), None, "{counts:?}");
    assert!(
        counts.values().all(|it| it.abs_diff(45) <= 10),
        "{counts:?}"
    );
    // As soon as it has nothing to do it has less than the others, and gets each one that it is drawn for: 30 of 45 on
    // average.
    open.close();
    for call in calls {
        call.await.expect("runs").expect("passes");
    }
    eventually("nothing waits", || {
        let held = nodes[1].usage();
        held.iter()
            .any(|it| it.what == "calls of a peer" && it.now == 0)
    })
    .await;
    for _ in 0..45 {
        rooms.push(nodes[0].spawn_placed::<Room>().await.expect("made"));
    }
    let counts = count(&rooms).await;
    assert!(counts.get("n2").is_some_and(|it| *it >= 15), "{counts:?}");
    client.close().await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_is_made_on_the_node_that_is_named_and_called_from_everywhere() {
    let town = Town::new();
    let made = Arc::new(AtomicUsize::new(0));
    let builder = |name: &str| {
        let made = made.clone();
        let node = town.node(name).host::<Room>();
        node.host_with(move |_: &Ctx<Bridge>| Bridge::counted(&made))
    };
    let nodes = nodes(vec![builder("n1"), builder("n2"), town.node("n3")]).await;
    for name in ["n1", "n2"] {
        for node in &nodes {
            let bridge = soon(node.spawn_on::<Bridge>(name)).await.expect("made");
            assert_eq!(bridge.node().await.as_deref(), Ok(name));
            // A type that is placed by load may be named a node as well.
            let room = soon(node.spawn_on::<Room>(name)).await.expect("made");
            assert_eq!(room.node().await.as_deref(), Ok(name));
        }
    }
    assert_eq!(made.load(Ordering::SeqCst), 6);
    // The ref of a third one's, in a call, in a client, and by a name.
    let room = soon(nodes[0].spawn_on::<Room>("n2")).await.expect("made");
    let client = town.client(nodes[2].local_addr()).await;
    eventually("linked", || client.members().len() == 3).await;
    for (guests, at) in (1..).zip([&nodes[0], &nodes[1], &nodes[2]]) {
        assert_eq!(at.attach(room.clone()).enter().await, Ok(guests));
    }
    assert_eq!(client.attach(room.clone()).enter().await, Ok(4));
    // It is restarted where it is.
    assert_eq!(code(room.fall_in().await), Code::Panicked);
    assert_eq!(room.enter().await, Ok(1));
    assert_eq!(room.node().await.as_deref(), Ok("n2"));
    let annex = room.annex().await.expect("made");
    assert!(annex.enter().await.is_ok());
    client.close().await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_implementation_of_a_contract_says_where_it_is_to_be() {
    let town = Town::new();
    let builders = vec![town.node("n1"), town.node("n2").host::<TownHall>()];
    let nodes = nodes(builders).await;
    let hall: HallsRef = soon(nodes[0].spawn_placed::<TownHall>())
        .await
        .expect("made");
    assert_eq!(hall.seats().await, Ok(300));
    let hall = soon(nodes[0].spawn_on::<TownHall>("n2"))
        .await
        .expect("made");
    assert_eq!(hall.seats().await, Ok(300));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_belongs_to_its_node_and_outlives_who_has_spawned_it() {
    let town = Town::new();
    let mut nodes = hosting_rooms(&town, &["n1", "n2", "n3"]).await;
    let room = soon(nodes[0].spawn_on::<Room>("n2")).await.expect("made");
    // The actor that has it made ends, and then the node that this one was on.
    let next = room.move_to("n3").await.expect("made");
    let ended = soon(watch(&room)).await.reason;
    assert!(
        matches!(ended, DownReason::Stopped | DownReason::Gone),
        "{ended:?}"
    );
    let next = nodes[2].attach(next);
    nodes.remove(1).stop().await;
    nodes.remove(0).stop().await;
    assert_eq!(next.enter().await, Ok(1));
    assert_eq!(next.node().await.as_deref(), Ok("n3"));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_its_node_is_told_to_who_watches() {
    let town = Town::new();
    // A link that is taken for lost in the busy first moments would end the watch too.
    let node = |name| town.node(name).config(callboard::net::Config::default());
    let watcher = node("n1").host::<Room>().start().await.expect("starts");
    let (lose, lost) = tokio::sync::oneshot::channel::<()>();
    let builder = node("n2").host::<Room>().seed(watcher.local_addr());
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let node = builder.start().await.expect("starts");
            let _ = lost.await;
            // Neither stopped nor dropped: as if its process were killed, it says nothing.
            std::mem::forget(node);
        });
        runtime.shutdown_background();
    });
    eventually("linked", || watcher.members().len() == 1).await;
    let room = soon(watcher.spawn_on::<Room>("n2")).await.expect("made");
    assert_eq!(room.enter().await, Ok(1));
    let down = tokio::spawn(watch(&room));
    let held = || watcher.usage();
    eventually("it is watched", || {
        held()
            .iter()
            .any(|it| it.what == "watches on a peer" && it.now == 1)
    })
    .await;
    lose.send(()).expect("told");
    thread.join().expect("joins");
    assert_eq!(down.await.expect("joins").reason, DownReason::NodeLost);
    let again = soon(watcher.spawn_placed::<Room>()).await.expect("made");
    assert_eq!(again.node().await.as_deref(), Ok("n1"));
    watcher.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_unknown_or_does_not_host_the_type_is_told_as_that() {
    let town = Town::new();
    let builders = vec![town.node("n1"), town.node("n2").host::<Room>()];
    let nodes = nodes(builders).await;
    for name in ["n9", "no node's name"] {
        let error = soon(nodes[0].spawn_on::<Room>(name)).await;
        let error = error.expect_err("there is none");
        assert_eq!(error.code(), Code::PeerUnreachable);
        assert_eq!(error.subject(), format!("actor Room on node {name}"));
        assert!(error.detail().ends_with("hosted by: n2"), "{error}");
        assert!(
            error.advice().contains("whether the name is right"),
            "{error}"
        );
    }
    for from in &nodes {
        let error = soon(from.spawn_on::<Room>("n1")).await;
        let error = error.expect_err("n1 does not host it");
        assert_eq!(error.code(), Code::NotHosted);
        assert_eq!(error.subject(), "actor Room on node n1");
        assert_eq!(error.detail(), "hosted by: n2");
        assert!(error.advice().starts_with("host it there"), "{error}");
    }
    let alone = town.node("n3").start().await.expect("starts");
    let error = soon(alone.spawn_placed::<Room>()).await;
    assert_eq!(code(error), Code::NoHost);
    alone.stop().await;
    let stopped = soon(alone.spawn_placed::<Room>()).await;
    assert_eq!(code(stopped), Code::NodeStopping);
    let stopped = soon(alone.spawn_on::<Room>("n2")).await;
    assert_eq!(code(stopped), Code::NodeStopping);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_gets_no_actors() {
    let town = Town::new();
    let open = Arc::new(Semaphore::new(0));
    let gate = open.clone();
    let stopping = town.node("n2").host::<Room>().grace(DEADLINE);
    let stopping = stopping.host_with(move |_: &Ctx<Gate>| Gate(gate.clone()));
    let nodes = nodes(vec![town.node("n1").host::<Room>(), stopping]).await;
    let held = tokio::spawn(nodes[0].service::<Gate>().pass().into_future());
    let usage = || nodes[1].usage();
    eventually("a call holds it", || {
        usage()
            .iter()
            .any(|it| it.what == "calls of a peer" && it.now == 1)
    })
    .await;
    let ends = tokio::spawn(nodes[1].stop());
    let mut refused = None;
    let mut tries = 0;
    while refused.is_none() && tries < 2000 {
        tries += 1;
        refused = soon(nodes[0].spawn_on::<Room>("n2")).await.err();
    }
    let error = refused.expect("it stops");
    assert_eq!(error.code(), Code::NodeStopping, "{error}");
    assert_eq!(error.subject(), "actor Room on node n2");
    for _ in 0..20 {
        let room = soon(nodes[0].spawn_placed::<Room>()).await.expect("made");
        assert_eq!(room.node().await.as_deref(), Ok("n1"));
    }
    let own = soon(nodes[1].spawn_on::<Room>("n2")).await;
    assert_eq!(code(own), Code::NodeStopping);
    open.close();
    soon(held).await.expect("runs").expect("it is let end");
    soon(ends).await.expect("runs");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_takes_as_many_actors_as_it_allows() {
    let town = Town::new();
    let builder = |name: &str, most: usize| {
        let mut limits = CallLimits::default();
        limits.placed_max = most;
        town.node(name).call_limits(limits).host::<Room>()
    };
    let nodes = nodes(vec![builder("n1", 2), builder("n2", 3)]).await;
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(soon(nodes[0].spawn_placed::<Room>()).await.expect("made"));
    }
    let counts = count(&rooms).await;
    assert_eq!((counts["n1"], counts["n2"]), (2, 3));
    let error = soon(nodes[0].spawn_placed::<Room>()).await;
    assert_eq!(error.expect_err("all are full").code(), Code::TooManyActors);
    for (name, most) in [("n1", 2), ("n2", 3)] {
        let error = soon(nodes[0].spawn_on::<Room>(name)).await;
        let error = error.expect_err("it is full");
        assert_eq!(error.code(), Code::TooManyActors);
        assert_eq!(error.subject(), format!("actor Room on node {name}"));
        assert_eq!(
            error.detail(),
            format!("it has {most} that were placed there")
        );
    }
    // What `spawn` makes does not count, and what ends leaves its place.
    rooms[0].close().await.expect("runs");
    let at = count(&rooms[1..]).await;
    let free = if at["n1"] == 1 { 0 } else { 1 };
    let most = [2, 3][free];
    eventually("its place is free", || placed_on(&nodes[free]) == most - 1).await;
    let room = soon(nodes[0].spawn_placed::<Room>()).await.expect("made");
    assert_eq!(room.node().await.as_deref(), Ok(nodes[free].name()));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_whose_caller_does_not_wait_for_it_ends() {
    let town = Town::new();
    let there = Arc::new(AtomicUsize::new(0));
    let count = there.clone();
    let host = town.node("n2");
    let host = host.host_with(move |_: &Ctx<Bridge>| Bridge::counted(&count));
    let nodes = nodes(vec![town.node("n1"), host]).await;
    for _ in 0..20 {
        let dropped = nodes[0].spawn_on::<Bridge>("n2").now_or_never();
        assert!(dropped.is_none(), "{dropped:?}");
    }
    let bridge = soon(nodes[0].spawn_on::<Bridge>("n2")).await.expect("made");
    let requests = |node: &Node| {
        let usage = node.usage();
        let mut held = usage.iter().filter(|it| it.what == "requests for actors");
        held.next().expect("listed").now
    };
    eventually("all have come", || requests(&nodes[1]) == 21).await;
    eventually("one is left", || {
        placed_on(&nodes[1]) == 1 && there.load(Ordering::SeqCst) == 1
    })
    .await;
    assert_eq!(bridge.node().await.as_deref(), Ok("n2"));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_are_made_for_those_who_have_the_right() {
    let town = Town::new();
    let closed = Policy::allow_by_default().deny("callboard.spawns/*");
    let trusts = Policy::allow_by_default()
        .allow("callboard.spawns_of_clients/Room", ["host"])
        .allow("callboard.spawns/*", ["staff", "host"]);
    let staff = Node::builder()
        .identity(town.with_roles("n1", PeerKind::Node, &["staff"]))
        .config(crate::support::quick());
    let builders = vec![
        staff.host::<Room>(),
        town.node("n2").host::<Room>().policy(closed),
        town.node("n3").host::<Room>().policy(trusts),
        town.node("n4"),
    ];
    let nodes = nodes(builders).await;
    let forbidden = |error: CallError| {
        assert_eq!(error.code(), Code::Forbidden, "{error}");
        error
    };
    // A node may by default, where no rule says otherwise.
    assert!(soon(nodes[3].spawn_on::<Room>("n1")).await.is_ok());
    assert!(soon(nodes[0].spawn_on::<Room>("n3")).await.is_ok());
    for name in ["n2", "n3"] {
        let refused = soon(nodes[3].spawn_on::<Room>(name)).await;
        forbidden(refused.expect_err("it has no role"));
    }
    // Who is refused by some goes to the others.
    for _ in 0..10 {
        let room = soon(nodes[3].spawn_placed::<Room>()).await.expect("made");
        assert_eq!(room.node().await.as_deref(), Ok("n1"));
    }
    // A client may not by default; where a rule names it, it may.
    let plain = town.client(nodes[0].local_addr()).await;
    let identity = town.with_roles("desk", PeerKind::Client, &["host"]);
    let host = connect(identity, nodes[0].local_addr()).await;
    for client in [&plain, &host] {
        eventually("linked", || client.members().len() == 4).await;
        let error = soon(client.spawn_on::<Room>("n1")).await;
        let error = forbidden(error.expect_err("no rule is about it"));
        let rule = "a rule for `callboard.spawns_of_clients/Room`";
        assert!(error.detail().contains(rule), "{error}");
    }
    let refused = soon(plain.spawn_placed::<Room>()).await;
    forbidden(refused.expect_err("nowhere"));
    let room = soon(host.spawn_placed::<Room>()).await.expect("on n3");
    assert_eq!(room.node().await.as_deref(), Ok("n3"));
    assert_eq!(room.enter().await, Ok(1));
    // Not what its rule does not name.
    let room = soon(host.spawn_on::<Room>("n3")).await;
    assert!(room.is_ok(), "{room:?}");
    plain.close().await;
    host.close().await;
    stop(nodes).await;
}
