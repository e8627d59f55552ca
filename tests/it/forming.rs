//! Clusters that are formed by real nodes: who forms one, who leads it, who is let in.

use std::{net::SocketAddr, path::Path, time::Duration};

use callboard::{Builder, Code, Node, NodeId, Profile};
use tempfile::TempDir;

use crate::support::{DEADLINE, Logged, Town, eventually};

/// The folders of nodes, which outlive them.
struct Disks(TempDir);

impl Disks {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder for the test"))
    }

    fn of(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

fn builder(town: &Town, name: &str, disk: &Path, seeds: &[SocketAddr]) -> Builder {
    town.node(name)
        .data_dir(disk)
        .profile(Profile::fast())
        .seeds(seeds.iter().copied())
}

async fn start(builder: Builder) -> Node {
    builder.start().await.expect("starts")
}

/// Starts n1 to n3, which form a cluster.
async fn three(town: &Town, disks: &Disks) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let seeds: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
        let builder = builder(town, name, &disks.of(name), &seeds);
        nodes.push(start(builder.bootstrap_expect(3)).await);
    }
    for node in &nodes {
        node.joined(DEADLINE).await.expect("a member");
    }
    nodes
}

/// Returns who leads, once all say the same.
async fn leader(nodes: &[Node]) -> NodeId {
    let ids: Vec<NodeId> = nodes.iter().map(Node::id).collect();
    let mut found = None;
    eventually("all name one leader that is here", || {
        let named: Vec<_> = nodes.iter().map(Node::leader).collect();
        found = named[0].filter(|leader| ids.contains(leader));
        named.iter().all(|it| it.is_some() && *it == found)
    })
    .await;
    found.expect("found")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_form_one_cluster_and_another_leads_when_the_leader_is_lost() {
    let (town, disks) = (Town::new(), Disks::new());
    let mut nodes = three(&town, &disks).await;
    let cluster = nodes[0].cluster_id().expect("formed");
    assert!(nodes.iter().all(|it| it.cluster_id() == Some(cluster)));
    eventually("three vote", || {
        nodes
            .iter()
            .any(|it| it.metrics().contains("callboard_control_voters 3\n"))
    })
    .await;

    let lost = leader(&nodes).await;
    let at = nodes.iter().position(|it| it.id() == lost).expect("here");
    // Without a word to anybody but its peers' transport.
    drop(nodes.remove(at));
    let next = leader(&nodes).await;
    assert_ne!(next, lost);
    for node in &nodes {
        node.joined(DEADLINE).await.expect("still a member");
        assert_eq!(node.cluster_id(), Some(cluster));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_that_is_gone_gives_its_seat_to_another_node_which_then_counts() {
    let (town, disks) = (Town::new(), Disks::new());
    let gone_max = Duration::from_secs(1);
    let mut nodes: Vec<Node> = Vec::new();
    for (name, forms) in [("n1", true), ("n2", true), ("n3", true), ("n4", false)] {
        let seeds: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
        if !forms {
            eventually("three vote", || nodes.iter().all(|it| it.position().votes)).await;
        }
        let builder = builder(&town, name, &disks.of(name), &seeds).voter_gone_max(gone_max);
        let expect = |it: Builder| if forms { it.bootstrap_expect(3) } else { it };
        nodes.push(start(expect(builder)).await);
    }
    let n4 = nodes.pop().expect("the last");
    n4.joined(DEADLINE).await.expect("let in");
    assert!(!n4.position().votes);
    drop(nodes.pop());
    eventually("n4 has the seat of n3, which has none", || {
        n4.position().votes && n4.metrics().contains("callboard_control_voters 3\n")
    })
    .await;
    // n1 and n4 are a majority only if n4 votes.
    drop(nodes.pop());
    nodes.push(n4);
    leader(&nodes).await;
    let seeds = nodes.iter().map(Node::local_addr);
    let n5 = start(town.node("n5").seeds(seeds)).await;
    n5.joined(DEADLINE).await.expect("let in by both");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_stood_still_comes_back_from_its_disks() {
    let (town, disks) = (Town::new(), Disks::new());
    let nodes = three(&town, &disks).await;
    let cluster = nodes[0].cluster_id();
    for node in nodes {
        node.stop().await;
    }
    let nodes = three(&town, &disks).await;
    assert!(cluster.is_some());
    assert!(nodes.iter().all(|it| it.cluster_id() == cluster));
    leader(&nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_disk_joins_a_cluster_that_is_formed() {
    let (town, disks) = (Town::new(), Disks::new());
    let first = start(builder(&town, "n1", &disks.of("n1"), &[]).bootstrap_expect(1)).await;
    first.joined(DEADLINE).await.expect("alone");
    let other = start(town.node("n2").seed(first.local_addr())).await;
    other.joined(DEADLINE).await.expect("let in");
    assert_eq!(other.cluster_id(), first.cluster_id());
    assert_eq!(other.leader(), Some(first.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_expect_different_numbers_are_told_so() {
    let (town, disks) = (Town::new(), Disks::new());
    let first = start(builder(&town, "n1", &disks.of("n1"), &[]).bootstrap_expect(2)).await;
    let seeds = [first.local_addr()];
    let other = start(builder(&town, "n2", &disks.of("n2"), &seeds).bootstrap_expect(3)).await;
    eventually("they are linked", || !other.members().is_empty()).await;
    let mut error = None;
    while error.as_ref().map(callboard::net::StartError::code) != Some(Code::ConfigInvalid) {
        let waited = other.joined(Duration::from_millis(50)).await;
        error = Some(waited.expect_err("they do not fit"));
    }
    let text = error.expect("found").to_string();
    assert!(
        text.contains("bootstrap_expect is 3 here and 2 on node n1: "),
        "{text}"
    );
    assert_eq!((first.cluster_id(), other.cluster_id()), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_another_cluster_is_refused_by_name() {
    let (town, disks) = (Town::new(), Disks::new());
    let alone = |name: &str| builder(&town, name, &disks.of(name), &[]).bootstrap_expect(1);
    let (first, other) = (start(alone("n1")).await, start(alone("n2")).await);
    first.joined(DEADLINE).await.expect("alone");
    other.joined(DEADLINE).await.expect("alone");
    let (ours, theirs) = (first.cluster_id(), other.cluster_id());
    assert_ne!(ours, theirs);
    other.stop().await;
    let other = start(alone("n2").seed(first.local_addr())).await;
    for node in [&first, &other] {
        eventually("the link is refused", || node.metrics().contains("CB2003")).await;
    }
    assert_eq!(other.cluster_id(), theirs);
    assert_eq!(first.cluster_id(), ours);
}

#[tokio::test]
async fn a_voter_that_is_alone_and_who_joins_it_say_whom_to_start() {
    let (town, disks) = (Town::new(), Disks::new());
    let nodes = three(&town, &disks).await;
    eventually("three vote", || nodes.iter().all(Node::votes)).await;
    let last: Vec<_> = nodes.iter().map(Node::local_addr).collect();
    for node in nodes {
        node.stop().await;
    }
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let alone = start(builder(&town, "n1", &disks.of("n1"), &[]).bootstrap_expect(3)).await;
    let new = start(builder(&town, "n4", &disks.of("n4"), &[alone.local_addr()])).await;
    let missing = format!(
        "1 of 3 voters are reached, and 2 are needed; not reached: n2 (last at {}), n3 (last at {})",
        last[1], last[2]
    );
    eventually("the voter says who is missing", || {
        logged.count(&missing) == 1
    })
    .await;
    eventually("the new node says so too", || {
        logged.count("; linked with n1; ") == 1
    })
    .await;
    assert_eq!(logged.count("CB3013"), 2);
    for (node, why) in [(&alone, &*missing), (&new, "; linked with n1; ")] {
        let error = node.joined(Duration::ZERO).await.expect_err("no lease");
        assert_eq!(error.code(), Code::NotJoined);
        assert!(error.detail().contains(why), "{error}");
    }
}

#[tokio::test]
async fn nodes_of_two_other_clusters_that_are_met_are_told_of_once() {
    let (town, disks) = (Town::new(), Disks::new());
    let alone = |name: &str| builder(&town, name, &disks.of(name), &[]).bootstrap_expect(1);
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let node = start(alone(name)).await;
        node.joined(DEADLINE).await.expect("alone");
        nodes.push(node);
    }
    let seeds: Vec<_> = nodes[..2].iter().map(Node::local_addr).collect();
    nodes.pop().expect("n3").stop().await;
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let met = start(alone("n3").seeds(seeds)).await;
    let refusals = |node: &Node| {
        let metrics = node.metrics();
        let mut lines = metrics.lines().filter(|line| line.contains("CB2003"));
        let count = lines.next().and_then(|line| line.rsplit(' ').next());
        count.map_or(0, |count| count.parse().expect("a number"))
    };
    eventually("it is refused again and again", || {
        nodes.iter().map(refusals).sum::<u64>() >= 6
    })
    .await;
    // Once by each of the three.
    assert!(logged.count("code=\"CB2003\"") <= 3);
    drop(met);
}

#[tokio::test]
async fn forming_needs_a_folder_and_a_number_in_range() {
    let (town, disks) = (Town::new(), Disks::new());
    let refused = |builder: Builder| async { builder.start().await.expect_err("refused") };
    let error = refused(town.node("n1").bootstrap_expect(3)).await;
    assert_eq!(error.code(), Code::ConfigInvalid);
    assert!(error.to_string().contains("data_dir"), "{error}");
    for nodes in [0, 6] {
        let builder = builder(&town, "n1", &disks.of("n1"), &[]);
        let error = refused(builder.bootstrap_expect(nodes)).await;
        assert_eq!(error.code(), Code::ConfigInvalid);
        assert!(error.to_string().contains("allowed are 1 to 5"), "{error}");
    }
}

#[tokio::test]
async fn two_nodes_cannot_have_one_data_folder() {
    let (town, disks) = (Town::new(), Disks::new());
    let first = start(builder(&town, "n1", &disks.of("n1"), &[]).bootstrap_expect(1)).await;
    let second = builder(&town, "n1", &disks.of("n1"), &[]).bootstrap_expect(1);
    let error = second.start().await.expect_err("it is locked");
    assert_eq!(error.code(), Code::DataDirLocked);
    first.stop().await;
    start(builder(&town, "n1", &disks.of("n1"), &[]).bootstrap_expect(1)).await;
}
