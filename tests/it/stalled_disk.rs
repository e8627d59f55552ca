//! A node whose disk stands still: what it was to write waits, and leases go on.

use std::{
    fmt, mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{
    Actor, Node, Profile,
    env::{Blocking, Env, Job},
    handlers,
};
use tempfile::TempDir;

use crate::support::{DEADLINE, Town, eventually};

/// More than three leases of the profile, and more than ten elections.
const STANDS_STILL: Duration = Duration::from_secs(10);

/// Work with the control group's files, which waits while the disk stands still.
struct Disk {
    real: Arc<dyn Blocking>,
    /// What waits; nothing while the disk works.
    waiting: Mutex<Option<Vec<Job>>>,
    held: AtomicUsize,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

impl Disk {
    fn stand_still(&self) {
        self.waiting.lock().expect("whole").get_or_insert_default();
    }

    fn go_on(&self) {
        let waiting = mem::take(&mut *self.waiting.lock().expect("whole"));
        for job in waiting.into_iter().flatten() {
            self.real.run("control-group", job);
        }
    }
}

impl Blocking for Disk {
    fn run(&self, name: &'static str, job: Job) {
        let mut waiting = self.waiting.lock().expect("whole");
        match &mut *waiting {
            Some(waiting) if name == "control-group" => {
                self.held.fetch_add(1, Ordering::Relaxed);
                waiting.push(job);
            }
            _ => self.real.run(name, job),
        }
    }

    fn run_beside(&self, name: &'static str, job: Job) -> bool {
        self.real.run_beside(name, job)
    }
}

/// Counts its calls.
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Clicker {
    count: u32,
}

#[handlers]
impl Clicker {
    pub fn click(&mut self) -> u32 {
        self.count += 1;
        self.count
    }
}

async fn three(town: &Town, disks: &TempDir) -> Vec<(Node, Arc<Disk>)> {
    let mut nodes: Vec<(Node, Arc<Disk>)> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let mut env = Env::real();
        let disk = Arc::new(Disk {
            real: env.blocking,
            waiting: Mutex::default(),
            held: AtomicUsize::new(0),
        });
        env.blocking = disk.clone();
        let seeds: Vec<SocketAddr> = nodes.iter().map(|it| it.0.local_addr()).collect();
        let builder = town
            .node(name)
            .data_dir(disks.path().join(name))
            .profile(Profile::lan())
            .seeds(seeds)
            .bootstrap_expect(3)
            .host::<Clicker>()
            .env(env);
        nodes.push((builder.start().await.expect("starts"), disk));
    }
    eventually("three vote", || nodes.iter().all(|it| it.0.votes())).await;
    nodes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stands_still_for_three_leases_costs_nobody_a_lease_not_even_its_leader() {
    let (town, disks) = (Town::new(), TempDir::new().expect("a folder"));
    let nodes = three(&town, &disks).await;
    let clickers: Vec<_> = (0..16)
        .map(|key| nodes[0].0.actor::<Clicker>(format!("k{key}")))
        .collect();
    for clicker in &clickers {
        clicker.click().timeout(DEADLINE).await.expect("answers");
    }
    let mut leads = None;
    eventually("one leads", || {
        leads = nodes.iter().position(|it| it.0.position().leads.is_some());
        leads.is_some()
    })
    .await;
    let (leader, disk) = &nodes[leads.expect("one")];
    let lives: Vec<_> = nodes.iter().map(|it| it.0.position().me).collect();

    disk.stand_still();
    let begun = Instant::now();
    let (mut rounds, mut another) = (2, false);
    while begun.elapsed() < STANDS_STILL {
        for (node, _) in &nodes {
            let position = node.position();
            assert!(position.lease_left.is_some(), "{position:?}");
        }
        let lead = nodes.iter().filter(|it| it.0.position().leads.is_some());
        another |= lead.clone().any(|it| it.0.id() != leader.id());
        for clicker in &clickers {
            let count = clicker.click().timeout(DEADLINE).await;
            assert_eq!(count, Ok(rounds), "its memory is where it was");
        }
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        disk.held.load(Ordering::Relaxed) > 0,
        "it had something to write"
    );
    assert!(another, "another one leads, as this one can write nothing");

    disk.go_on();
    let version = |node: &Node| node.position().version;
    // A member that joins is one more thing that was decided meanwhile.
    let n4 = town.node("n4").seed(nodes[0].0.local_addr()).start().await;
    let n4 = n4.expect("starts");
    n4.joined(DEADLINE).await.expect("let in");
    eventually("it has caught up, and votes", || {
        let newest = nodes.iter().map(|it| version(&it.0)).max();
        leader.votes() && Some(version(leader)) == newest && leader.position().leads.is_none()
    })
    .await;
    let now: Vec<_> = nodes.iter().map(|it| it.0.position().me).collect();
    assert_eq!(now, lives, "nobody has begun another life");
    n4.stop().await;
}
