//! Real processes, one of which loses its data folder.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

use callboard::{
    Actor, Client, Node, Profile,
    admin::{ClusterReport, NodeReport, SeatsReport},
    handlers,
    net::PeerKind,
};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    paused::start_as,
    processes::{FOLDER, Process, run_until_the_parent_is_gone},
    support::{DEADLINE, Town, connect, eventually, quick},
};

const CHILD: &str = "lost_disk::runs_a_member_for_the_tests_of_this_file";

/// After what time a voter that is gone loses its seat here: long enough for all that has to happen before.
const GONE_MAX: Duration = Duration::from_secs(15);

/// Ten times as long as an election takes, and several leases.
const FOR_A_WHILE: Duration = Duration::from_secs(4);

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// Counts in memory.
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Tally;

#[handlers]
impl Tally {
    #[handler(idempotent)]
    pub fn touch(&mut self) {}
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
            .voter_gone_max(GONE_MAX)
            .bootstrap_expect(3)
            .host::<Tally>()
    })
    .await;
}

/// Three members in processes of their own, and who looks at them.
struct Three {
    folder: TempDir,
    processes: Vec<Option<Process>>,
    addrs: Vec<SocketAddr>,
    observer: Node,
    client: Client,
}

impl Three {
    /// Starts them, and waits until all of them vote.
    async fn start() -> Self {
        let (town, folder) = (Town::new(), TempDir::new().expect("a folder"));
        let mut processes: Vec<Process> = Vec::new();
        for name in NAMES {
            let seeds: Vec<SocketAddr> = processes.iter().map(|it| it.addr).collect();
            processes.push(start_as(CHILD, &town, folder.path(), name, &seeds));
        }
        let addrs: Vec<SocketAddr> = processes.iter().map(|it| it.addr).collect();
        let observer = town.node("observer").seeds(addrs.clone()).start().await;
        let observer = observer.expect("starts");
        observer.joined(DEADLINE).await.expect("let in");
        let identity = town.with_roles("operator", PeerKind::Client, &["admin"]);
        let client = connect(identity, addrs[0]).await;
        let three = Self {
            folder,
            processes: processes.into_iter().map(Some).collect(),
            addrs,
            observer,
            client,
        };
        eventually("all three vote", || NAMES.iter().all(|it| three.votes(it))).await;
        three
    }

    fn of(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether a node has voted since it was started last.
    fn votes(&self, name: &str) -> bool {
        self.of(name).join("votes").exists()
    }

    /// Waits until a node votes, which it does when the seat of its lost log has gone.
    async fn has_voted(&self, name: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.votes(name) {
            assert!(Instant::now() < end, "{name} does not vote");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills a node, and waits until it is gone.
    fn kill(&mut self, at: usize) {
        let process = self.processes[at].take().expect("it runs");
        process.signal(Signal::KILL);
        drop(process);
        fs::remove_file(self.of(NAMES[at]).join("votes")).expect("it has voted");
    }

    fn lose_folder(&self, at: usize) {
        fs::remove_dir_all(self.of(NAMES[at]).join("data")).expect("removed");
    }

    /// Starts a node again, where it was.
    fn start_again(&mut self, at: usize) {
        let seeds = self.addrs.iter().map(SocketAddr::to_string);
        let seeds: Vec<String> = seeds.collect();
        let folder = self.of(NAMES[at]);
        fs::write(folder.join("seeds"), seeds.join("\n")).expect("written");
        let listen = self.addrs[at].to_string();
        self.processes[at] = Some(Process::start(CHILD, &folder, &listen));
    }

    /// Asks a node how it is.
    async fn node(&self, name: &str) -> Result<NodeReport, String> {
        let mut members = self.client.members().into_iter();
        let member = members.find(|it| it.name == name);
        let member = member.ok_or_else(|| "it is not linked".to_owned())?;
        let asked = self.client.admin(&member).node();
        let said = asked.timeout(Duration::from_secs(1)).await;
        said.map_err(|error| error.to_string())
    }

    async fn cluster(&self, name: &str) -> Option<ClusterReport> {
        let member = self
            .client
            .members()
            .into_iter()
            .find(|it| it.name == name)?;
        let asked = self.client.admin(&member).cluster();
        asked.timeout(Duration::from_secs(1)).await.ok()
    }

    /// Waits until a node says what keeps it from being a member.
    async fn says(&self, name: &str, text: &str) {
        let end = Instant::now() + DEADLINE;
        loop {
            let said = self.node(name).await;
            let trouble = said.as_ref().ok().and_then(|it| it.trouble.as_ref());
            if trouble.is_some_and(|it| it.contains(text)) {
                return;
            }
            assert!(Instant::now() < end, "{name} says {said:?}, not {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns the seats as one of the voters knows them.
    async fn seats(&self, name: &str) -> SeatsReport {
        let end = Instant::now() + DEADLINE;
        loop {
            let member = self.client.members().into_iter().find(|it| it.name == name);
            if let Some(member) = member {
                let asked = self.client.admin(&member).seats();
                if let Ok(seats) = asked.timeout(Duration::from_secs(1)).await {
                    return seats;
                }
            }
            assert!(Instant::now() < end, "{name} does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn disk_of(&self, name: &str, asked: &str) -> String {
        let seats = self.seats(asked).await.seats;
        let seat = seats
            .into_iter()
            .find(|it| it.node.as_deref() == Some(name));
        seat.expect("it has a seat").disk
    }

    async fn all_answer(&self) {
        for key in 0..16 {
            let tally = self.observer.actor::<Tally>(format!("k{key}"));
            tally.touch().timeout(DEADLINE).await.expect("answers");
        }
    }

    /// Looks for a while that nobody leads, and that no cluster is there but this one.
    async fn nothing_is_decided(&self, cluster: &str, voters: &[&str]) {
        let begun = Instant::now();
        let (mut seen, mut last) = (0, Vec::new());
        while begun.elapsed() < FOR_A_WHILE {
            for name in NAMES {
                let Some((node, known)) = self.node(name).await.ok().zip(self.cluster(name).await)
                else {
                    continue;
                };
                seen += 1;
                let id = known.cluster_id.as_deref();
                assert!(id.is_none_or(|id| id == cluster), "{name}: {known:?}");
                assert!(!node.leads && node.lease_left_ms.is_none(), "{node:?}");
                let votes = node.votes;
                assert!(!votes || voters.contains(&name), "{node:?}");
                last.push((name, votes));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(seen > 0, "nobody was asked");
        for name in voters {
            assert!(last.contains(&(name, true)), "{name} was asked, and votes");
        }
    }

    async fn no_lease_is_left(&self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let mut left = false;
            for name in NAMES {
                let node = self.node(name).await;
                left |= node.is_ok_and(|it| it.leads || it.lease_left_ms.is_some());
            }
            if !left {
                return;
            }
            assert!(Instant::now() < end, "leases end");
        }
    }

    async fn end(self) {
        self.client.close().await;
        self.observer.stop().await;
    }
}

fn id(observer: &Node) -> String {
    observer.cluster_id().expect("formed").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_lost_its_log_does_not_vote_with_it_and_comes_back_as_another_one() {
    let mut three = Three::start().await;
    let cluster = id(&three.observer);
    let lost = three.disk_of("n3", "n1").await;
    three.kill(2);
    three.lose_folder(2);
    three.start_again(2);
    three.says("n3", "its log is lost").await;
    three.all_answer().await;

    // With its vote n1 would have a majority. It has none.
    three.kill(1);
    three.no_lease_is_left().await;
    let seats = three.seats("n1").await.seats;
    assert!(seats.iter().any(|it| it.disk == lost), "{seats:?}");
    three.nothing_is_decided(&cluster, &["n1"]).await;
    three
        .says("n1", "1 of 3 voters are reached, and 2 are needed")
        .await;
    assert!(!three.votes("n3"));

    // With that of n2, whose log is whole, it goes on where it was.
    three.start_again(1);
    three.all_answer().await;
    assert_eq!(id(&three.observer), cluster);
    three.has_voted("n3").await;
    three.all_answer().await;
    let found = three.disk_of("n3", "n3").await;
    assert_ne!(found, lost);
    let seats = three.seats("n3").await.seats;
    assert!(seats.iter().all(|it| it.disk != lost), "{seats:?}");
    three.end().await;
}
