//! A cluster that goes on with one voter of three, whose other two are lost with their disks.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use callboard::{
    Actor, Builder, Code, Ctx, Node, Profile,
    danger::{self, RecoverError},
    env::Env,
    handlers,
};
use callboard_protocol::slots::EPOCH_LEAP;
use tempfile::TempDir;

use crate::{
    paused::start_as,
    processes::{FOLDER, Process, run_until_the_parent_is_gone},
    support::{DEADLINE, Town, eventually, quick},
};

const CHILD: &str = "recovering::runs_a_member_for_the_tests_of_this_file";

/// Says under which epoch its slot is owned.
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Stamp;

#[handlers]
impl Stamp {
    pub fn epoch(&self, ctx: &Ctx<Self>) -> Option<u64> {
        ctx.fence().map(|fence| fence.epoch().0)
    }
}

/// Not a test of its own: with the environment of this file's tests it is a member of their cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_a_member_for_the_tests_of_this_file() {
    run_until_the_parent_is_gone(|builder| {
        let folder = PathBuf::from(std::env::var(FOLDER).expect("the caller has looked"));
        let seeds = fs::read_to_string(folder.join("seeds")).expect("written");
        let seeds = seeds.lines().map(|seed| seed.parse().expect("an address"));
        let seeds: Vec<SocketAddr> = seeds.collect();
        member(builder.config(quick()), &folder, &seeds)
    })
    .await;
}

fn member(builder: Builder, folder: &Path, seeds: &[SocketAddr]) -> Builder {
    builder
        .seeds(seeds.iter().copied())
        .data_dir(folder.join("data"))
        .profile(Profile::fast())
        .bootstrap_expect(3)
        .host::<Stamp>()
}

async fn start(town: &Town, folder: &Path, name: &str, seeds: &[SocketAddr]) -> Node {
    let builder = member(town.node(name), &folder.join(name), seeds);
    builder.start().await.expect("starts")
}

/// Calls some keys; returns the epochs of their slots.
async fn epochs(node: &Node) -> Vec<u64> {
    let mut epochs = Vec::new();
    for key in 0..24 {
        let stamp = node.actor::<Stamp>(format!("k{key}"));
        let epoch = stamp.epoch().timeout(DEADLINE).await.expect("answers");
        epochs.push(epoch.expect("it is placed"));
    }
    epochs
}

/// Waits until the node cannot be a member for a reason with this code and these words.
async fn refused(node: &Node, code: Code, why: &str) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let outcome = node.joined(Duration::from_millis(20)).await;
            if outcome.is_err_and(|it| it.code() == code && it.detail().contains(why)) {
                return;
            }
        }
    });
    waited.await.expect("it says why");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_voter_of_three_is_enough_to_go_on_as_another_cluster() {
    let (town, disks) = (Town::new(), TempDir::new().expect("a folder"));
    let folder = disks.path();
    let data = folder.join("n1").join("data");
    let n1 = start(&town, folder, "n1", &[]).await;
    let seeds = [n1.local_addr()];
    let lost = ["n2", "n3"].map(|name| start_as(CHILD, &town, folder, name, &seeds));
    n1.joined(DEADLINE).await.expect("a member");
    eventually("all three vote", || {
        let said = |name: &str| folder.join(name).join("votes").exists();
        n1.position().votes && said("n2") && said("n3")
    })
    .await;
    let before = epochs(&n1).await;
    let old = n1.cluster_id().expect("formed");

    // Without a word, and their disks with them; that of n3 turns up again later.
    drop::<[Process; 2]>(lost);
    fs::remove_dir_all(folder.join("n2")).expect("removed");
    let kept = folder.join("kept");
    fs::rename(folder.join("n3").join("data"), &kept).expect("kept");
    let why = "1 of 3 voters are reached, and 2 are needed";
    refused(&n1, Code::NotJoined, why).await;
    let running = danger::recover(&Env::real(), &data).expect_err("it runs");
    assert_eq!(running, RecoverError::InUse(data.clone()));
    n1.stop().await;

    let found = danger::inspect(&Env::real(), &data).expect("a voter");
    assert_eq!((found.cluster, found.voters.len()), (old, 3));
    let recovered = danger::recover(&Env::real(), &data).expect("a voter of three");
    assert_eq!(recovered.found, found);
    let n1 = start(&town, folder, "n1", &[]).await;
    n1.joined(DEADLINE).await.expect("alone it is a majority");
    assert_eq!(n1.cluster_id(), Some(recovered.cluster));
    assert_ne!(recovered.cluster, old);

    // A new node of an old name, and one of another.
    let seeds = [n1.local_addr()];
    let n2 = start(&town, folder, "n2", &seeds).await;
    let n4 = start(&town, folder, "n4", &seeds).await;
    for node in [&n2, &n4] {
        node.joined(DEADLINE).await.expect("let in");
        assert_eq!(node.cluster_id(), Some(recovered.cluster));
    }
    eventually("three vote again", || {
        [&n1, &n2, &n4].iter().all(|it| it.votes())
    })
    .await;
    let highest = before.into_iter().max().expect("some");
    for epoch in epochs(&n4).await {
        assert!(epoch > highest + EPOCH_LEAP / 2, "{epoch} after {highest}");
    }

    // One that was taken for lost comes back with its disk: it stays what it was, alone.
    fs::create_dir_all(folder.join("n3")).expect("made");
    fs::rename(&kept, folder.join("n3").join("data")).expect("put back");
    let back = start(&town, folder, "n3", &seeds).await;
    refused(&back, Code::ClusterMismatch, "an empty data folder").await;
    assert_eq!(back.cluster_id(), Some(old));
    back.stop().await;
    epochs(&n2).await;
    // Which is what it takes.
    fs::remove_dir_all(folder.join("n3").join("data")).expect("emptied");
    let n3 = start(&town, folder, "n3", &seeds).await;
    n3.joined(DEADLINE).await.expect("let in");
    assert_eq!(n3.cluster_id(), Some(recovered.cluster));
    for node in [n3, n4, n2, n1] {
        node.stop().await;
    }
}
