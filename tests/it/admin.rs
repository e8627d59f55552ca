//! What whoever runs a cluster is told of it, and who is told.

use std::{fmt::Debug, time::Duration};

use callboard::{
    CallError, Client, Code, HandlerError, Member, Node, Policy,
    admin::{
        ActorName, ActorState, Admin, AdminError, AdminRef, ClusterReport, DrainOutcome, KeyName,
        MemberState, PlaceReason, PlaceReport, Placement,
    },
    net::PeerKind,
};

use crate::{
    draining::Load,
    followed::{Bell, Jar, KEYS, Place, homes},
    support::{DEADLINE, Town, connect, eventually, soon},
};

/// Connects as one who runs the cluster, and waits until all nodes are linked.
async fn operator(town: &Town, nodes: &[Node]) -> Client {
    let identity = town.with_roles("operator", PeerKind::Client, &["admin"]);
    let client = connect(identity, nodes[0].local_addr()).await;
    eventually("all are linked", || client.members().len() == nodes.len()).await;
    client
}

fn member(client: &Client, name: &str) -> Member {
    let mut members = client.members().into_iter();
    members.find(|it| it.name == name).expect("linked")
}

async fn told_by(client: &Client, name: &str) -> ClusterReport {
    let admin = client.admin(&member(client, name));
    soon(admin.cluster().timeout(DEADLINE))
        .await
        .expect("it answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_tell_the_same_of_their_cluster() {
    let place = Place::new();
    let nodes = place.three().await;
    let client = operator(&place.town, &nodes).await;
    homes(&client).await;
    let mut told = Vec::new();
    let settled = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            told.clear();
            for name in ["n1", "n2", "n3"] {
                told.push(told_by(&client, name).await);
            }
            let first = &told[0];
            let shared = first.types.iter().all(|it| it.moving + it.unowned == 0);
            if told.iter().all(|it| it.version == first.version) && shared {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    settled.await.expect("the cluster settles");

    for (report, name) in told.iter().zip(["n1", "n2", "n3"]) {
        assert_eq!(report.by, name);
        assert_eq!(report.cluster, "test");
        let id = nodes[0].cluster_id().map(|it| it.to_string());
        assert_eq!(report.cluster_id, id);
        assert_eq!(report.placement, Placement::Group);
        assert!(report.lease_left_ms.is_some(), "{report:?}");
        assert_eq!(report.leader, told[0].leader);
        assert_eq!(report.types, told[0].types);
        assert_eq!(report.members, told[0].members);
    }
    let leader = told[0].leader.as_deref().expect("somebody leads");
    let leads = nodes.iter().find(|it| it.name() == leader);
    assert_eq!(leads.expect("one of them").leader(), leads.map(Node::id));

    let names: Vec<&str> = told[0].members.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    let jar = told[0].types.iter().find(|it| it.name == "Jar");
    let jar = jar.expect("they host it");
    assert_eq!(jar.hosts, ["n1", "n2", "n3"]);
    let owned: u64 = told[0].members.iter().map(|it| it.slots).sum();
    assert_eq!(owned, jar.slots, "every slot has one owner");
    for member in &told[0].members {
        assert_eq!(member.state, MemberState::Live);
        assert!(member.linked && member.hosts == ["Jar"], "{member:?}");
        assert!(member.slots > 0, "{member:?}");
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_tells_how_it_is_itself() {
    let place = Place::new();
    let nodes = place.three().await;
    let client = operator(&place.town, &nodes).await;
    let mut leaders = 0;
    for node in &nodes {
        let admin = client.admin(&member(&client, node.name()));
        let report = soon(admin.node().timeout(DEADLINE)).await.expect("answers");
        assert_eq!(report.name, node.name());
        assert_eq!(report.addr, node.local_addr().to_string());
        assert_eq!(report.linked_nodes, 2);
        assert_eq!(report.trouble, None);
        assert!(report.lease_left_ms.is_some(), "{report:?}");
        leaders += u32::from(report.leads);
    }
    assert_eq!(leaders, 1);
    // A node reaches itself and others in the same way, and needs no right for itself alone.
    let own = client.admin(&member(&client, "n1"));
    let own = nodes[0].attach(own).node().await.expect("itself");
    assert_eq!(own.name, "n1");
    let other = nodes[0].members().into_iter().find(|it| it.name == "n2");
    let other = nodes[0].admin(&other.expect("linked"));
    let error = call_error(other.node().await);
    assert_eq!(error.code(), Code::Forbidden, "its certificate has no role");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_control_group_says_so_and_whom_it_is_linked_with() {
    let town = Town::new();
    let first = town.node("n1").start().await.expect("starts");
    let second = town.node("n2").seed(first.local_addr());
    let second = second.start().await.expect("starts");
    let nodes = [first, second];
    eventually("they are linked", || {
        nodes.iter().all(|it| it.members().len() == 1)
    })
    .await;
    let client = operator(&town, &nodes).await;
    let admin = client.admin(&member(&client, "n1"));
    let report = admin.cluster().await.expect("it answers");
    assert_eq!(report.placement, Placement::WhoAsks);
    assert_eq!((report.cluster_id, report.leader), (None, None));
    assert_eq!((report.version, report.lease_left_ms), (0, None));
    let names: Vec<&str> = report.members.iter().map(|it| &*it.name).collect();
    assert_eq!(names, ["n1", "n2"]);
    assert!(report.types.is_empty());
    client.close().await;
}

/// Which actor.
fn jar(key: &str) -> ActorName {
    ActorName {
        kind: "Jar".to_owned(),
        key: KeyName::Text(key.to_owned()),
    }
}

async fn place_of(client: &Client, asked: &str, key: &str) -> PlaceReport {
    let admin = client.admin(&member(client, asked));
    soon(admin.why(jar(key)).timeout(DEADLINE))
        .await
        .expect("it answers")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_names_the_owner_that_calls_find_before_and_after_a_drain_of_which_no_call_knows() {
    let place = Place::new();
    let nodes = place.three().await;
    let client = operator(&place.town, &nodes).await;
    let before = homes(&client).await;
    for (key, home) in &before {
        let told = place_of(&client, "n1", key).await;
        assert_eq!(told.owner.as_ref(), Some(home), "{told:?}");
        assert_eq!(told.moving_to, None);
        let first = &told.candidates[0].node;
        let expected = match first == home {
            true => PlaceReason::FirstChoice,
            false => PlaceReason::OthersFull,
        };
        assert_eq!(told.reason, expected, "{told:?}");
    }

    let mut load = Load::default();
    let jars = (0..KEYS).map(|key| client.actor::<Jar>(format!("k{key}")));
    load.add(jars.collect(), client.service::<Bell>());
    eventually("calls are made", || load.calls() > 100).await;
    let admin = client.admin(&member(&client, "n2"));
    assert_eq!(
        admin.draining().await.expect("answers").outcome,
        DrainOutcome::NotAsked
    );
    let begun = admin.drain(DEADLINE.as_millis() as u64).await;
    assert_eq!(begun.expect("begins").outcome, DrainOutcome::Running);
    let drained = tokio::time::timeout(DEADLINE, async {
        loop {
            let report = admin.draining().await.expect("answers");
            assert_eq!(report.node, "n2");
            if report.outcome != DrainOutcome::Running {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let drained = drained.await.expect("it ends");
    assert_eq!((drained.outcome, drained.slots), (DrainOutcome::Drained, 0));
    let (then, calls) = (homes(&client).await, load.calls());
    eventually("calls go on", || load.calls() > calls + 100).await;
    load.end().await;
    for (key, home) in &then {
        assert_ne!(home, "n2");
        let told = place_of(&client, "n1", key).await;
        assert_eq!(told.owner.as_ref(), Some(home), "{told:?}");
    }
    let told = told_by(&client, "n1").await;
    assert!(told.members.iter().all(|it| it.name != "n2"), "it has left");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_memory_of_an_actor_is_told_by_the_node_that_has_it() {
    let place = Place::new();
    let nodes = place.three().await;
    let client = operator(&place.town, &nodes).await;
    let homes = homes(&client).await;
    let (key, home) = homes.first_key_value().expect("some");
    for node in &nodes {
        let admin = client.admin(&member(&client, node.name()));
        let told = admin.actor(jar(key)).await.expect("answers");
        let expected = match node.name() == home {
            true => ActorState::Active,
            false => ActorState::Inactive,
        };
        assert_eq!((&*told.by, told.state), (node.name(), expected));
        assert_eq!(told.epoch.is_some(), node.name() == home);
        // To ask has not activated it.
        let other = admin.actor(jar("nobody")).await.expect("answers");
        assert_eq!(other.state, ActorState::Inactive);
    }
    let admin = client.admin(&member(&client, "n1"));
    let cup = ActorName {
        kind: "Cup".to_owned(),
        key: KeyName::Bytes(Vec::new()),
    };
    let known = vec!["Jar".to_owned()];
    let name = "Cup".to_owned();
    let unknown = AdminError::UnknownType { name, known };
    let error = admin.why(cup).await.expect_err("no such type");
    assert_eq!(error, HandlerError::App(unknown));
    client.close().await;
}

fn call_error<T: Debug>(result: Result<T, HandlerError<AdminError>>) -> CallError {
    match result {
        Err(HandlerError::Call(error)) => error,
        other => panic!("{other:?}"),
    }
}

async fn refused(admin: AdminRef) -> CallError {
    let error = call_error(soon(admin.cluster().timeout(DEADLINE)).await);
    assert_eq!(error.code(), Code::Forbidden);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_right_is_told_which_role_is_missing() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let seed = node.local_addr();
    let clerk = town.with_roles("clerk", PeerKind::Client, &["clerk"]);
    let clerk = connect(clerk, seed).await;
    for admin in [clerk.service::<Admin>(), clerk.admin(&member(&clerk, "n1"))] {
        let error = refused(admin).await;
        let needs = "it needs the role admin; the caller's certificate has clerk";
        assert_eq!(error.detail(), needs);
    }
    // Of that of one node, which no other node may answer for, as well.
    let metrics = clerk.metrics();
    let in_flight = metrics.lines().find(|line| {
        line.starts_with("callboard_calls_in_flight{") && line.contains("callboard.admin/cluster")
    });
    let in_flight = in_flight.and_then(|line| line.rsplit(' ').next());
    assert_eq!(in_flight, Some("0"), "they have ended: {metrics}");
    clerk.close().await;
    node.stop().await;

    // Who runs the node may take it away, also from those who have the role.
    let policy = Policy::allow_by_default().deny("callboard.admin/*");
    let node = town
        .node("n2")
        .policy(policy)
        .start()
        .await
        .expect("starts");
    let admin = town.with_roles("operator", PeerKind::Client, &["admin"]);
    let admin = connect(admin, node.local_addr()).await;
    let error = refused(admin.service::<Admin>()).await;
    assert_eq!(error.detail(), "the node's policy lets nobody else call it");
    admin.close().await;
}
