//! Voters that somebody chooses, in clusters of real nodes: what is kept, and what is refused.

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use callboard::{
    Builder, Client, HandlerError, Node, Profile,
    admin::{AdminRef, VoterChoice, VoterError},
    net::PeerKind,
};
use callboard_protocol::wire::hello::FEATURE_CHOICES;
use tempfile::TempDir;

use crate::support::{DEADLINE, Town, connect, eventually};

fn builder(town: &Town, disks: &Path, name: &str, nodes: &[Node]) -> Builder {
    let seeds: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
    town.node(name)
        .data_dir(disks.join(name))
        .profile(Profile::fast())
        .seeds(seeds)
}

/// Starts n1 to n3, which form a cluster in which all of them vote; those named are of the version before
/// there were choices.
async fn three(town: &Town, disks: &Path, old: &[&str]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let mut builder = builder(town, disks, name, &nodes).bootstrap_expect(3);
        if old.contains(&name) {
            builder = builder.features_lacking(FEATURE_CHOICES);
        }
        nodes.push(builder.start().await.expect("starts"));
    }
    eventually("three vote", || nodes.iter().all(Node::votes)).await;
    nodes
}

async fn join(builder: Builder) -> Node {
    let node = builder.start().await.expect("starts");
    node.joined(DEADLINE).await.expect("let in");
    node
}

async fn operator(town: &Town, nodes: &[Node]) -> Client {
    let identity = town.with_roles("operator", PeerKind::Client, &["admin"]);
    let client = connect(identity, nodes[0].local_addr()).await;
    eventually("all are linked", || client.members().len() == nodes.len()).await;
    client
}

/// Returns the ref of the leader, and its name.
async fn leader(client: &Client, nodes: &[Node]) -> (AdminRef, String) {
    let mut leads = None;
    eventually("one leads", || {
        leads = nodes.iter().find(|it| it.position().leads.is_some());
        leads.is_some()
    })
    .await;
    let name = leads.expect("one").name().to_owned();
    let member = client.members().into_iter().find(|it| it.name == name);
    (client.admin(&member.expect("linked")), name)
}

async fn choose(
    client: &Client,
    nodes: &[Node],
    name: &str,
    choice: VoterChoice,
) -> Result<(), String> {
    loop {
        let (leader, _) = leader(client, nodes).await;
        let chosen = leader.choose_voter(name.to_owned(), choice);
        match chosen.timeout(DEADLINE).await {
            Ok(()) => return Ok(()),
            Err(HandlerError::App(VoterError::NotLeader { .. })) => {}
            Err(HandlerError::App(error)) => return Err(error.to_string()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Waits until the right ones vote, as the leader says. One that has lost its seat may not have heard of it.
async fn votes(client: &Client, nodes: &[Node], are_right: impl Fn(&[String]) -> bool) {
    let end = Instant::now() + DEADLINE;
    loop {
        let (leader, _) = leader(client, nodes).await;
        let seats = leader.seats().timeout(Duration::from_secs(1)).await;
        let seats = seats.map(|it| it.seats).unwrap_or_default();
        let votes = seats.into_iter().filter(|it| it.votes);
        let votes: Vec<String> = votes.filter_map(|it| it.node).collect();
        if are_right(&votes) {
            return;
        }
        assert!(Instant::now() < end, "these vote: {votes:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_leader_takes_a_choice_and_says_who_that_is() {
    let (town, disks) = (Town::new(), TempDir::new().expect("a folder"));
    let nodes = three(&town, disks.path(), &[]).await;
    let client = operator(&town, &nodes).await;
    let (_, leads) = leader(&client, &nodes).await;
    let other = client.members().into_iter().find(|it| it.name != leads);
    let other = client.admin(&other.expect("two others"));
    let asked = other.choose_voter("n1".to_owned(), VoterChoice::Remove);
    let refused = asked.timeout(DEADLINE).await.expect_err("it does not lead");
    let leader = Some(leads);
    let expected = VoterError::NotLeader { leader };
    assert_eq!(refused, HandlerError::App(expected));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_choice_outlives_the_leader_that_took_it_and_a_restart_of_all() {
    let (town, disks) = (Town::new(), TempDir::new().expect("a folder"));
    let mut nodes = three(&town, disks.path(), &[]).await;
    nodes.push(join(builder(&town, disks.path(), "n4", &nodes)).await);
    let client = operator(&town, &nodes).await;
    let (_, out) = leader(&client, &nodes).await;
    let chosen = choose(&client, &nodes, &out, VoterChoice::Remove).await;
    assert_eq!(chosen, Ok(()));
    let others: Vec<String> = nodes.iter().map(|it| it.name().to_owned()).collect();
    let others: Vec<String> = others.into_iter().filter(|it| *it != out).collect();
    votes(&client, &nodes, |it| it == others).await;
    client.close().await;

    // By now the log is all that knows of it. One of the others is not there, so there is a seat to give.
    for node in &nodes {
        node.stop().await;
    }
    let lost = others.last().expect("three");
    let names: Vec<&str> = ["n1", "n2", "n3", "n4"].into();
    let mut again: Vec<Node> = Vec::new();
    for name in names.into_iter().filter(|it| it != lost) {
        let builder = builder(&town, disks.path(), name, &again);
        let builder = builder.voter_gone_max(Duration::from_secs(1));
        again.push(builder.start().await.expect("starts"));
    }
    // Two that may vote have one voter; were its choice forgotten, there would be three.
    let client = operator(&town, &again).await;
    votes(&client, &again, |it| it.len() == 1 && it != [&*out]).await;
    let chosen = choose(&client, &again, &out, VoterChoice::Auto).await;
    assert_eq!(chosen, Ok(()));
    votes(&client, &again, |it| it.len() == 3).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_chosen_while_a_voter_is_of_a_version_that_could_not_read_it() {
    let (town, disks) = (Town::new(), TempDir::new().expect("a folder"));
    let mut nodes = three(&town, disks.path(), &["n3"]).await;
    nodes.push(join(builder(&town, disks.path(), "n4", &nodes)).await);
    let client = operator(&town, &nodes).await;
    let refused = choose(&client, &nodes, "n4", VoterChoice::Add).await;
    let refused = refused.expect_err("n3 could not read it");
    assert!(
        refused.contains("a version of Callboard that does not know"),
        "{refused}"
    );
    votes(&client, &nodes, |it| it == ["n1", "n2", "n3"]).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_version_that_could_not_read_a_choice_gets_no_seat() {
    let (town, disks) = (Town::new(), TempDir::new().expect("a folder"));
    let mut nodes = three(&town, disks.path(), &[]).await;
    let old = builder(&town, disks.path(), "n4", &nodes).features_lacking(FEATURE_CHOICES);
    nodes.push(join(old).await);
    nodes.push(join(builder(&town, disks.path(), "n5", &nodes)).await);
    let client = operator(&town, &nodes).await;
    let refused = choose(&client, &nodes, "n4", VoterChoice::Add).await;
    let refused = refused.expect_err("it could not read it");
    assert!(refused.starts_with("n4 has a version"), "{refused}");
    let chosen = choose(&client, &nodes, "n1", VoterChoice::Remove).await;
    assert_eq!(chosen, Ok(()));
    // n5 has the seat, and not n4.
    votes(&client, &nodes, |it| it == ["n2", "n3", "n5"]).await;
    let refused = choose(&client, &nodes, "n2", VoterChoice::Remove).await;
    let refused = refused.expect_err("n4 is there, and cannot take it");
    assert!(
        refused.contains("no other node could take the seat of n2"),
        "{refused}"
    );
    client.close().await;
}
