//! Members of a cluster in processes of their own, all of whose threads are busy with handlers.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use callboard::{Actor, Profile, handlers};
use tempfile::TempDir;

use crate::{
    paused::{id, life, start_as},
    processes::{FOLDER, Process, run_until_the_parent_is_gone},
    support::{DEADLINE, Town, eventually},
};

const CHILD: &str = "busy::runs_a_member_for_the_test_of_this_file";

/// Computes where its key is.
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Mill;

#[handlers]
impl Mill {
    /// Computes for so long, and lets others have the thread every few milliseconds, as a handler should.
    #[handler(timeout = "2m")]
    pub async fn grind(&mut self, millis: u64) -> u64 {
        let (from, mut rounds) = (Instant::now(), 0);
        while from.elapsed() < Duration::from_millis(millis) {
            let slice = Instant::now();
            while slice.elapsed() < SLICE {
                rounds += 1;
                std::hint::spin_loop();
            }
            tokio::task::yield_now().await;
        }
        rounds
    }
}

/// Not a test of its own: with the environment of this file's test it is a member of its cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_a_member_for_the_test_of_this_file() {
    run_until_the_parent_is_gone(|builder| {
        let folder = PathBuf::from(std::env::var(FOLDER).expect("the caller has looked"));
        let seeds = fs::read_to_string(folder.join("seeds")).expect("written");
        let seeds = seeds.lines().map(|seed| seed.parse().expect("an address"));
        builder
            .seeds(seeds.collect::<Vec<SocketAddr>>())
            .data_dir(folder.join("data"))
            .profile(Profile::lan())
            .bootstrap_expect(3)
            .host::<Mill>()
    })
    .await;
}

/// More handlers than threads on every node, each of which always has something to compute, for ten leases:
/// none is taken for lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_are_busy_with_handlers_for_ten_leases_keep_them() {
    let (town, folder) = (Town::new(), TempDir::new().expect("a folder"));
    let names = ["n1", "n2", "n3"];
    let mut processes: Vec<Process> = Vec::new();
    for name in names {
        let seeds: Vec<SocketAddr> = processes.iter().map(|it| it.addr).collect();
        processes.push(start_as(CHILD, &town, folder.path(), name, &seeds));
    }
    let seeds = processes.iter().map(|it| it.addr);
    let observer = town.node("observer").seeds(seeds).start().await;
    let observer = observer.expect("starts");
    observer.joined(DEADLINE).await.expect("let in");
    eventually("all three are live", || {
        let is_live = |name: &&str| life(&observer, id(name)).is_some();
        names.iter().all(is_live) && observer.leader().is_some()
    })
    .await;
    let mills = (0..24).map(|key| observer.actor::<Mill>(format!("k{key}")));
    let mills: Vec<_> = mills.collect();
    for mill in &mills {
        mill.grind(0).timeout(DEADLINE).await.expect("answers");
    }

    let before: Vec<_> = names.iter().map(|name| life(&observer, id(name))).collect();
    let millis = u64::try_from(Profile::lan().lease.as_millis() * LEASES).expect("a time");
    let grinding = mills.iter().map(|mill| mill.grind(millis));
    let rounds = futures_util::future::join_all(grinding).await;
    for done in rounds {
        assert!(done.expect("nothing was lost") > 0);
    }
    let after: Vec<_> = names.iter().map(|name| life(&observer, id(name))).collect();
    assert_eq!(before, after, "a lease was lost");
    observer.stop().await;
}

/// For how long a handler keeps its thread at a time.
const SLICE: Duration = Duration::from_millis(5);

const LEASES: u128 = 10;
