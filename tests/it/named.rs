//! Names of spawned actors: who finds one, who gets it, and who keeps it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{
    CallLimits, ClaimError, Code, HeldName, NameLost, Policy,
    net::{DenyList, PeerKind},
    prelude::*,
};
use futures_util::{FutureExt, future::join_all};

use crate::support::{DEADLINE, Logged, SOON, Town, code, eventually, quick, soon};

#[derive(Default, Actor)]
#[actor(backoff = "1ms..2ms", intensity = "1 in 1m")]
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
}

#[derive(Default, Actor)]
struct Table;

#[handlers]
impl Table {
    pub fn sit(&self) {}
}

/// Names itself before its first turn.
#[derive(Default, Actor)]
#[actor(backoff = "1ms..2ms")]
struct Porter;

#[handlers]
impl Porter {
    #[handler(activate)]
    async fn begin(&mut self, ctx: &Ctx<Self>) -> Result<(), CallError> {
        ctx.claim_name("porter").await?;
        Ok(())
    }

    pub async fn show(&self, ctx: &Ctx<Self>, name: String) -> Result<RoomRef, CallError> {
        ctx.named::<Room>(name).await
    }

    pub fn stumble(&mut self) {
        panic!("a step");
    }
}

/// Starts nodes that are all linked with each other.
async fn nodes(town: &Town, names: &[&str]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for name in names {
        let node = town.node(name);
        let node = node.seeds(nodes.iter().map(Node::local_addr));
        nodes.push(node.start().await.expect("starts"));
    }
    for node in &nodes {
        let others = names.len() - 1;
        eventually("all are linked", || node.members().len() == others).await;
    }
    nodes
}

async fn stop(nodes: Vec<Node>) {
    for node in nodes {
        node.stop().await;
    }
}

/// Waits until what is claimed now is told from what was claimed before, also where a loaded machine delays the word of it.
pub async fn held_for_longer_than_a_message_takes() {
    let began = Instant::now();
    eventually("some time has passed", || {
        began.elapsed() > Duration::from_secs(2)
    })
    .await;
}

/// Where the holder of a name is, as an error of a claim says.
fn taken(claimed: Result<HeldName, ClaimError>) -> String {
    match claimed {
        Err(ClaimError::Taken { holder, error }) => {
            assert_eq!(error.code(), Code::NameTaken);
            assert!(error.detail().contains(&holder.node), "{error}");
            holder.node
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_is_found_by_its_name_on_every_node_and_by_a_client() {
    let town = Town::new();
    let nodes = nodes(&town, &["n1", "n2", "n3"]).await;
    let (room, name) = soon(nodes[1].spawn_named::<Room>("lobby"))
        .await
        .expect("free");
    assert_eq!((name.as_str(), name.is_held()), ("lobby", true));
    let client = town.client(nodes[0].local_addr()).await;
    for (guests, node) in (1..).zip(&nodes) {
        let found = soon(node.named::<Room>("lobby")).await.expect("found");
        assert_eq!(found, room);
        assert_eq!(found.enter().await, Ok(guests));
    }
    let found = soon(client.named::<Room>("lobby")).await.expect("found");
    assert_eq!(found.enter().await, Ok(4));
    assert_eq!(found.node().await.as_deref(), Ok("n2"));
    // Also by an actor, of which nobody but it knows what it is called.
    let porter = nodes[2].spawn::<Porter>();
    let shown = porter.show("lobby").await.expect("the call");
    assert_eq!(shown, room);
    let porter = soon(client.named::<Porter>("porter")).await;
    assert!(porter.expect("found").show("lobby").await.is_ok());
    client.close().await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_name_says_who_was_asked() {
    let town = Town::new();
    let nodes = nodes(&town, &["n1", "n2"]).await;
    let client = town.client(nodes[0].local_addr()).await;
    eventually("linked", || client.members().len() == 2).await;
    let error = soon(nodes[0].named::<Room>("lobby")).await;
    let error = error.expect_err("there is none");
    assert_eq!(error.code(), Code::NameUnknown);
    assert_eq!(error.subject(), "name \"lobby\"");
    assert_eq!(error.detail(), "asked: node n2, this node, n1");
    let error = soon(client.named::<Room>("lobby")).await;
    let error = error.expect_err("there is none");
    assert_eq!(error.code(), Code::NameUnknown);
    assert_eq!(error.detail(), "asked: node n1, node n2");
    for name in ["", "a\u{7}b", &"x".repeat(256)] {
        let found = soon(nodes[0].named::<Room>(name)).await;
        assert_eq!(code(found), Code::NameInvalid);
        let claimed = soon(nodes[0].spawn_named::<Room>(name)).await;
        assert_eq!(claimed.expect_err("no name").code(), Code::NameInvalid);
    }
    stop(nodes).await;
    eventually("no link is left", || client.members().is_empty()).await;
    let nobody = soon(client.named::<Room>("lobby")).await;
    assert_eq!(code(nobody), Code::NoHost);
    client.close().await;
    let closed = soon(client.named::<Room>("lobby")).await;
    assert_eq!(code(closed), Code::NodeStopping);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_an_actor_of_another_type_is_told_as_that() {
    let town = Town::new();
    let nodes = nodes(&town, &["n1", "n2"]).await;
    let (_, _name) = soon(nodes[0].spawn_named::<Table>("lobby"))
        .await
        .expect("free");
    for node in &nodes {
        let error = soon(node.named::<Room>("lobby")).await;
        let error = error.expect_err("it is a table");
        assert_eq!(error.code(), Code::NameOfOtherType);
        let text = "which has it, is of the type Table, and not Room";
        assert!(error.detail().ends_with(text), "{error}");
        assert!(error.detail().contains("on node n1"), "{error}");
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_holder_keeps_a_name_and_others_are_told_where_it_is() {
    let town = Town::new();
    let nodes = nodes(&town, &["n1", "n2"]).await;
    let (room, name) = soon(nodes[0].spawn_named::<Room>("lobby"))
        .await
        .expect("free");
    let made = Arc::new(AtomicU32::new(0));
    for node in &nodes {
        let made = made.clone();
        let second = node.spawn_named_with("lobby", move |_: &Ctx<Room>| {
            made.fetch_add(1, Ordering::Relaxed);
            Room::default()
        });
        let second = soon(second).await.map(|(_, name)| name);
        assert_eq!(taken(second), "node n1");
        let other = node.spawn::<Table>();
        assert_eq!(
            taken(soon(node.claim_name("lobby", &other)).await),
            "node n1"
        );
    }
    assert_eq!(
        made.load(Ordering::Relaxed),
        0,
        "none is made that has no name"
    );
    // What it has, it is given again; and it may have several.
    let again = soon(nodes[0].claim_name("lobby", &room))
        .await
        .expect("its own");
    let hall = soon(nodes[0].claim_name("hall", &room))
        .await
        .expect("free");
    assert!(again.is_held() && hall.is_held());
    assert_eq!(
        soon(nodes[1].named::<Room>("hall")).await.as_ref(),
        Ok(&room)
    );
    // From where it lives, and nowhere else.
    let elsewhere = soon(nodes[1].claim_name("attic", &room)).await;
    let elsewhere = elsewhere.expect_err("it is on n1");
    assert_eq!(elsewhere.code(), Code::NameInvalid);
    assert!(
        elsewhere.to_string().contains("lives on node n1"),
        "{elsewhere}"
    );

    assert!(hall.release() && !hall.release());
    assert_eq!(soon(hall.lost()).await, NameLost::Released);
    assert_eq!(
        code(soon(nodes[1].named::<Room>("hall")).await),
        Code::NameUnknown
    );
    assert!(name.is_held(), "the other one is not touched");
    let hall = soon(nodes[1].spawn_named::<Room>("hall")).await;
    assert!(hall.is_ok(), "{hall:?}");
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_ask_at_the_same_moment_exactly_one_gets_the_name() {
    let town = Town::new();
    let nodes = nodes(&town, &["n1", "n2", "n3"]).await;
    let rooms: Vec<RoomRef> = nodes.iter().map(Node::spawn::<Room>).collect();
    for round in 0..30 {
        let name = format!("room {round}");
        let claims = nodes.iter().zip(&rooms);
        let claims = claims.map(|(node, room)| node.claim_name(&name, room));
        let claimed = soon(join_all(claims)).await;
        let holders: Vec<usize> = (0..3).filter(|at| claimed[*at].is_ok()).collect();
        assert_eq!(holders.len(), 1, "{claimed:?}");
        for refused in claimed.iter().filter_map(|it| it.as_ref().err()) {
            assert_eq!(refused.code(), Code::NameTaken);
        }
        for node in &nodes {
            let found = soon(node.named::<Room>(&name)).await;
            assert_eq!(found.as_ref(), Ok(&rooms[holders[0]]));
        }
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_the_name_and_an_end_frees_it() {
    let town = Town::new();
    let nodes = nodes(&town, &["n1", "n2"]).await;
    let (room, name) = soon(nodes[0].spawn_named::<Room>("lobby"))
        .await
        .expect("free");
    assert_eq!(room.enter().await, Ok(1));
    assert_eq!(code(room.fall_in().await), Code::Panicked);
    let found = soon(nodes[1].named::<Room>("lobby"))
        .await
        .expect("it goes on");
    assert_eq!(found.enter().await, Ok(1), "it was made anew");
    assert!(name.is_held());
    let porter = nodes[0].spawn::<Porter>();
    assert_eq!(code(porter.stumble().await), Code::Panicked);
    // Its second activation claims what it has.
    let error = porter
        .show("attic")
        .timeout(DEADLINE)
        .await
        .expect_err("none");
    assert_eq!(error.code(), None, "{error:?}");
    assert_eq!(
        soon(nodes[1].named::<Porter>("porter")).await.as_ref(),
        Ok(&porter)
    );

    // Given up: one restart was all it had.
    assert_eq!(code(room.fall_in().await), Code::Panicked);
    assert_eq!(soon(name.lost()).await, NameLost::Ended);
    assert!(!name.is_held());
    assert_eq!(
        code(soon(nodes[1].named::<Room>("lobby")).await),
        Code::NameUnknown
    );
    let (room, name) = soon(nodes[1].spawn_named::<Room>("lobby"))
        .await
        .expect("free again");
    assert!(nodes[1].stop_actor(&room, SOON).await);
    assert_eq!(soon(name.lost()).await, NameLost::Ended);
    assert!(!name.release(), "it has no name to release");
    let (_, name) = soon(nodes[0].spawn_named::<Room>("lobby"))
        .await
        .expect("free again");
    let gone = soon(nodes[1].claim_name("attic", &nodes[1].attach(room))).await;
    assert_eq!(gone.expect_err("it has ended").code(), Code::ActorGone);
    stop(nodes).await;
    assert_eq!(soon(name.lost()).await, NameLost::Ended);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_free_when_the_holders_node_is_stopped_or_lost() {
    let town = Town::new();
    let mut nodes = nodes(&town, &["n1", "n2", "n3"]).await;
    let (_, name) = soon(nodes[2].spawn_named::<Room>("lobby"))
        .await
        .expect("free");
    // Another node that goes takes no name along.
    let other = nodes.remove(1);
    other.stop().await;
    let found = soon(nodes[0].named::<Room>("lobby")).await;
    assert_eq!(found.expect("found").node().await.as_deref(), Ok("n3"));
    let holder = nodes.remove(1);
    holder.stop().await;
    assert_eq!(soon(name.lost()).await, NameLost::Ended);
    let (_, lobby) = soon(nodes[0].spawn_named::<Room>("lobby"))
        .await
        .expect("free at once");

    let seed = nodes[0].local_addr();
    let dies = town.node("n4").seed(seed).start().await.expect("starts");
    let (_, attic) = soon(dies.spawn_named::<Room>("attic")).await.expect("free");
    assert_eq!(
        taken(soon(nodes[0].claim_name("attic", &nodes[0].spawn::<Room>())).await),
        "node n4"
    );
    drop(dies);
    drop(attic);
    let began = Instant::now();
    // It does not answer, and is asked until it is lost.
    let claimed = soon(nodes[0].spawn_named::<Room>("attic")).await;
    let (_, attic) = claimed.expect("free once the node is lost");
    assert!(began.elapsed() < quick().peer_timeout + SOON / 2);
    assert!(lobby.is_held() && attic.is_held());
    stop(nodes).await;
}

#[tokio::test]
async fn after_a_split_the_one_that_has_held_a_name_for_longer_keeps_it_and_the_other_is_told() {
    let (logged, _guards) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let nodes = nodes(&town, &["n1", "n2"]).await;
    let other = |at: usize| &nodes[1 - at];
    // Whichever of the two tells its names to the other one.
    let mut told = 0;
    for (at, name) in [(0, "lobby"), (1, "attic"), (1, "hall")] {
        let (first, kept) = soon(nodes[at].spawn_named::<Room>(name))
            .await
            .expect("free");
        held_for_longer_than_a_message_takes().await;
        let denied = DenyList::of([other(at).name()]).expect("a name");
        nodes[at].deny(denied);
        eventually("split", || nodes.iter().all(|it| it.members().is_empty())).await;
        let second = soon(other(at).spawn_named::<Room>(name)).await;
        let (second, lost) = second.expect("nobody says that it is taken");
        assert!(kept.is_held() && lost.is_held(), "both have it");
        assert_eq!(
            soon(other(at).named::<Room>(name)).await.as_ref(),
            Ok(&second)
        );

        nodes[at].deny(DenyList::default());
        let why = tokio::time::timeout(DEADLINE, lost.lost())
            .await
            .expect("told");
        let NameLost::Outheld(holder) = why else {
            panic!("{why:?}");
        };
        assert_eq!(holder.node, format!("node {}", nodes[at].name()));
        assert!(kept.is_held() && !lost.is_held());
        for node in &nodes {
            assert_eq!(soon(node.named::<Room>(name)).await.as_ref(), Ok(&first));
        }
        assert_eq!(second.enter().await, Ok(1), "it goes on without a name");
        told += 1;
        assert_eq!(logged.count("which has held it for longer"), told);
        assert_eq!(logged.count(Code::NameLost.text()), told);
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_has_as_many_names_as_it_allows() {
    let town = Town::new();
    let mut limits = CallLimits::default();
    limits.names_max = 2;
    let node = town
        .node("n1")
        .call_limits(limits)
        .start()
        .await
        .expect("starts");
    let (room, first) = soon(node.spawn_named::<Room>("1")).await.expect("free");
    let (other, _second) = soon(node.spawn_named::<Room>("2")).await.expect("free");
    let third = soon(node.claim_name("3", &room))
        .await
        .expect_err("too many");
    assert_eq!(third.code(), Code::TooManyNames);
    assert!(third.to_string().contains("2 names already"), "{third}");
    first.release();
    assert!(soon(node.claim_name("3", &room)).await.is_ok());
    // One whose actor has ended is no name any more, though nobody has asked for it since.
    assert!(node.stop_actor(&other, SOON).await);
    assert!(soon(node.claim_name("4", &room)).await.is_ok());
    node.stop().await;
    let stopped = soon(node.claim_name("5", &room))
        .await
        .expect_err("stopped");
    assert!(
        matches!(stopped.code(), Code::NodeStopping | Code::ActorGone),
        "{stopped}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_can_keep_names_from_others() {
    let town = Town::new();
    let policy = Policy::allow_by_default().deny("callboard.names/*");
    let closed = town
        .node("n1")
        .policy(policy)
        .start()
        .await
        .expect("starts");
    let open = town.node("n2").seed(closed.local_addr());
    let open = open.start().await.expect("starts");
    eventually("linked", || closed.members().len() == 1).await;
    let (_, _name) = soon(closed.spawn_named::<Room>("lobby"))
        .await
        .expect("free");
    let unknown = soon(open.named::<Room>("lobby")).await.expect_err("hidden");
    assert_eq!(unknown.code(), Code::NameUnknown);
    assert!(
        unknown
            .detail()
            .contains("without an answer: node n1 (CB1032)"),
        "{unknown}"
    );
    let unsure = soon(open.spawn_named::<Room>("attic"))
        .await
        .expect_err("unsure");
    assert_eq!(unsure.code(), Code::Forbidden);
    open.stop().await;
    closed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_dropped_asks_for_the_name_no_more() {
    let town = Town::new();
    let nodes = nodes(&town, &["n1", "n2"]).await;
    let room = nodes[0].spawn::<Room>();
    // It waits for the other node's answer, and is dropped while it does.
    let claim = nodes[0].claim_name("lobby", &room).now_or_never();
    assert!(claim.is_none(), "{claim:?}");
    let (_, name) = soon(nodes[0].spawn_named::<Room>("lobby"))
        .await
        .expect("free");
    assert!(name.is_held());
    stop(nodes).await;
    let identity = town.identity("n3", PeerKind::Node);
    let alone = Node::builder().identity(identity).config(quick());
    let alone = alone.start().await.expect("starts");
    let began = Instant::now();
    let (_, name) = alone.spawn_named::<Room>("lobby").await.expect("free");
    assert!(
        name.is_held() && began.elapsed() < Duration::from_millis(500),
        "nobody is waited for"
    );
    alone.stop().await;
}
