//! Members of a cluster in processes of their own, some of which stand still or are killed.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Instant,
};

use callboard::{Actor, Ctx, Node, NodeId, NodeName, Profile, handlers, net::PeerKind};
use callboard_protocol::slots::Owner;
use futures_util::future::join_all;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    processes::{FOLDER, LOG, Process, run_until_the_parent_is_gone},
    support::{DEADLINE, Town, eventually, quick, write_private},
};

const CHILD: &str = "paused::runs_a_member_for_the_tests_of_this_file";

/// Answers where its key is.
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Mark;

#[handlers]
impl Mark {
    pub fn touch(&mut self) {}

    #[handler(idempotent)]
    pub fn at(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_string()
    }
}

/// Not a test of its own: with the environment of this file's tests it is a member of their cluster.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_a_member_for_the_tests_of_this_file() {
    run_until_the_parent_is_gone(|builder| {
        let folder = PathBuf::from(std::env::var(FOLDER).expect("the caller has looked"));
        let seeds = fs::read_to_string(folder.join("seeds")).expect("written");
        let seeds = seeds.lines().map(|seed| seed.parse().expect("an address"));
        builder
            .config(quick())
            .seeds(seeds.collect::<Vec<SocketAddr>>())
            .data_dir(folder.join("data"))
            .profile(Profile::fast())
            .bootstrap_expect(3)
            .host::<Mark>()
    })
    .await;
}

/// Starts a member of this file's cluster; its name is that of its folder.
fn start(town: &Town, folder: &Path, name: &str, seeds: &[SocketAddr]) -> Process {
    start_as(CHILD, town, folder, name, seeds)
}

/// Starts a member that a test runs which is not one; its name is that of its folder.
pub(crate) fn start_as(
    child: &str,
    town: &Town,
    folder: &Path,
    name: &str,
    seeds: &[SocketAddr],
) -> Process {
    let folder = folder.join(name);
    fs::create_dir(&folder).expect("a new folder");
    let authority = town.authority();
    let issued = authority.issue_pem(NodeName::new(name).expect("a name"), PeerKind::Node);
    let issued = issued.expect("issued");
    write_private(&folder.join("ca.pem"), &authority.certificate_pem());
    write_private(&folder.join("cert.pem"), &issued.certificate);
    write_private(&folder.join("key.pem"), &issued.key);
    let seeds: Vec<String> = seeds.iter().map(SocketAddr::to_string).collect();
    fs::write(folder.join("seeds"), seeds.join("\n")).expect("written");
    Process::start(child, &folder, "127.0.0.1:0")
}

pub(crate) fn id(name: &str) -> NodeId {
    NodeId::of(&NodeName::new(name).expect("a name"))
}

/// Returns the life of a node that is live, as the observer knows it.
pub(crate) fn life(observer: &Node, node: NodeId) -> Option<Owner> {
    let members = observer.position().members.into_iter();
    let mut live = members.filter(|(_, is_live)| *is_live);
    live.find(|(owner, _)| owner.node == node)
        .map(|(owner, _)| owner)
}

/// Returns the names of the nodes where the keys answer.
async fn places(observer: &Node) -> Vec<String> {
    let keys = (0..64).map(|key| observer.actor::<Mark>(format!("k{key}")).at());
    let places = join_all(keys.map(|at| at.timeout(DEADLINE))).await;
    places.into_iter().map(|at| at.expect("answers")).collect()
}

async fn all_answer(observer: &Node) {
    for key in 0..16 {
        let mark = observer.actor::<Mark>(format!("k{key}"));
        mark.touch().timeout(DEADLINE).await.expect("answers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stood_still_comes_back_and_costs_nobody_else_a_lease() {
    let (town, folder) = (Town::new(), TempDir::new().expect("a folder"));
    let names = ["n1", "n2", "n3"];
    let mut processes: Vec<Process> = Vec::new();
    for name in names {
        let seeds: Vec<SocketAddr> = processes.iter().map(|it| it.addr).collect();
        processes.push(start(&town, folder.path(), name, &seeds));
    }
    let seeds = processes.iter().map(|it| it.addr);
    let observer = town.node("observer").seeds(seeds).start().await;
    let observer = observer.expect("starts");
    observer.joined(DEADLINE).await.expect("let in");
    all_answer(&observer).await;
    eventually("all three vote", || {
        let votes = |name: &&str| folder.path().join(name).join("votes").exists();
        names.iter().all(votes) && observer.leader().is_some()
    })
    .await;

    let leader = observer.leader().expect("just seen");
    let at = names.iter().position(|name| id(name) == leader);
    let process = &processes[at.expect("the observer has no disk")];
    let before: Vec<_> = names.iter().map(|name| life(&observer, id(name))).collect();
    let me = observer.position().me;
    process.freeze().await;
    eventually("its lease has ended", || life(&observer, leader).is_none()).await;
    assert_ne!(observer.leader(), Some(leader), "another one has ended it");
    all_answer(&observer).await;
    process.signal(Signal::CONT);
    eventually("it is back, in another life", || {
        life(&observer, leader).is_some()
    })
    .await;
    all_answer(&observer).await;
    for (name, before) in names.iter().zip(before) {
        let after = life(&observer, id(name));
        match id(name) == leader {
            true => assert!(after > before, "{name}: {before:?}, {after:?}"),
            false => assert_eq!(after, before, "{name}"),
        }
        let log = fs::read_to_string(folder.path().join(name).join(LOG)).expect("it has one");
        let told = log.matches("the lease of member").count();
        assert!(told == 0 || id(name) != leader, "it judges nobody: {log}");
    }
    assert_eq!(observer.position().me, me);
    observer.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_answers_again_when_the_leader_and_an_owner_are_killed_together() {
    let (town, folder) = (Town::new(), TempDir::new().expect("a folder"));
    let names = ["n1", "n2", "n3", "n4", "n5"];
    let mut processes: Vec<Process> = Vec::new();
    for name in names {
        let seeds: Vec<SocketAddr> = processes.iter().map(|it| it.addr).collect();
        processes.push(start(&town, folder.path(), name, &seeds));
    }
    let seeds = processes.iter().map(|it| it.addr);
    let observer = town.node("observer").seeds(seeds).start().await;
    let observer = observer.expect("starts");
    observer.joined(DEADLINE).await.expect("let in");
    let votes = |name: &&str| folder.path().join(name).join("votes").exists();
    eventually("three of five vote", || {
        names.iter().filter(|name| votes(name)).count() == 3 && observer.leader().is_some()
    })
    .await;
    let end = Instant::now() + DEADLINE;
    while !{
        let places = places(&observer).await;
        names.iter().all(|name| places.iter().any(|at| at == name))
    } {
        assert!(Instant::now() < end, "every node owns keys");
    }

    let leader = observer.leader().expect("just seen");
    let leads = names.iter().position(|name| id(name) == leader);
    // Without two of its three voters the group could decide nothing.
    let owns = names.iter().position(|name| !votes(name));
    let killed = [leads, owns].map(|at| at.expect("the observer has no disk"));
    for at in killed {
        processes[at].signal(Signal::KILL);
    }
    let places = places(&observer).await;
    for at in killed {
        assert!(!places.iter().any(|name| name == names[at]), "{places:?}");
    }
    eventually("another one leads, and both are gone", || {
        let gone = |at: &usize| life(&observer, id(names[*at])).is_none();
        observer.leader().is_some_and(|now| now != leader) && killed.iter().all(gone)
    })
    .await;
    observer.stop().await;
}
