//! Real processes: what SIGSTOP and SIGKILL of a node look like to its callers.
//!
//! A test runs its own executable again as the node, by the test named in `CHILD`.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use callboard::{
    Builder, Code, NodeName, Ran,
    net::{Authority, Config, Identity, PeerKind},
    prelude::*,
};
use futures_util::{StreamExt, stream};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{eventually, write_private};

/// The default time to notice a peer that says nothing, as `net::Config::peer_timeout` documents
/// it, and what a loaded machine may take on top.
const NOTICED: Duration = Duration::from_secs(3);
const SLACK: Duration = Duration::from_secs(3);
const DEADLINE: Duration = Duration::from_secs(60);

const CHILD: &str = "processes::runs_a_node_for_the_tests_of_this_file";
const CHILD_WITH_DATA: &str =
    "processes::runs_a_node_with_a_data_folder_for_the_tests_of_this_file";
/// Names the folder of a node that runs as a process of its own.
pub const FOLDER: &str = "CALLBOARD_TEST_FOLDER";
/// What a node warns of, in its folder.
pub const LOG: &str = "log";
const LISTEN: &str = "CALLBOARD_TEST_LISTEN";

#[derive(Default, Service)]
pub struct Worker;

#[handlers]
impl Worker {
    pub async fn ping(&self) -> u32 {
        std::process::id()
    }

    pub async fn hang(&self) {
        std::future::pending::<()>().await;
    }

    #[handler(timeout = "none")]
    pub fn news(&self) -> impl Stream<Item = u32> + use<> {
        stream::once(std::future::ready(1)).chain(stream::pending())
    }
}

/// A node in a process of its own; killed when dropped.
pub struct Process {
    pub child: Child,
    pub addr: SocketAddr,
}

impl Process {
    /// Starts the test that `run` names as a node; it calls [`run_until_the_parent_is_gone`].
    pub fn start(run: &str, folder: &Path, listen: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("an executable"))
            .args(["--exact", run, "--nocapture", "--include-ignored"])
            .env(FOLDER, folder)
            .env(LISTEN, listen)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        let addr = lines
            .find_map(|line| line.ok()?.split_once("listens on ")?.1.parse().ok())
            .expect("the node says where it listens");
        Self { child, addr }
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("a process id");
        kill_process(pid, signal).expect("the process is there");
    }

    /// Stops it, and waits until every thread of it stands: one that runs when the signal comes
    /// goes on until another has taken the signal.
    pub async fn freeze(&self) {
        self.signal(Signal::STOP);
        let threads = format!("/proc/{}/task", self.child.id());
        eventually("every thread stands", || {
            let stands = |thread: std::io::Result<std::fs::DirEntry>| {
                let stat = std::fs::read_to_string(thread.expect("listed").path().join("stat"));
                let stat = stat.expect("the thread is there");
                stat.rsplit(") ")
                    .next()
                    .is_some_and(|rest| rest.starts_with('T'))
            };
            std::fs::read_dir(&threads)
                .expect("the process is there")
                .all(stands)
        })
        .await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with the certificate of a node, and the identity of a client.
pub fn town() -> (TempDir, Identity) {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = callboard::ClusterName::new("processes").expect("a name");
    let authority = Authority::throw_away(cluster).expect("an authority");
    let name = NodeName::new("worker").expect("a name");
    let issued = authority.issue_pem(name, PeerKind::Node).expect("issued");
    write_private(&folder.path().join("ca.pem"), &authority.certificate_pem());
    write_private(&folder.path().join("cert.pem"), &issued.certificate);
    write_private(&folder.path().join("key.pem"), &issued.key);
    let client = NodeName::new("caller").expect("a name");
    (
        folder,
        authority.issue(client, PeerKind::Client).expect("issued"),
    )
}

async fn connect(identity: Identity, seed: SocketAddr) -> Client {
    let client = Client::builder()
        .identity(identity)
        .config(Config::default())
        .seed(seed);
    client.connect().await.expect("connects")
}

/// Not a test of its own: with the environment of this file's tests it is their node.
#[tokio::test]
async fn runs_a_node_for_the_tests_of_this_file() {
    run_until_the_parent_is_gone(|builder| builder.host::<Worker>()).await;
}

/// Not a test of its own: a node with a data folder, for the tests of this file.
#[tokio::test]
async fn runs_a_node_with_a_data_folder_for_the_tests_of_this_file() {
    run_until_the_parent_is_gone(|builder| {
        let folder = std::env::var(FOLDER).expect("the caller has looked");
        builder
            .data_dir(Path::new(&folder).join("data"))
            .bootstrap_expect(1)
    })
    .await;
}

/// Runs a node as the environment says, if it says anything, until the process that started this one
/// is gone.
pub async fn run_until_the_parent_is_gone(host: impl FnOnce(Builder) -> Builder) {
    let (Ok(folder), Ok(listen)) = (std::env::var(FOLDER), std::env::var(LISTEN)) else {
        return;
    };
    let file = |name: &str| Path::new(&folder).join(name);
    let log = std::fs::File::create(file(LOG)).expect("a folder that can be written to");
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(log)
        .init();
    let identity = Identity::from_pem_files(file("ca.pem"), file("cert.pem"), file("key.pem"));
    let node = Node::builder()
        .identity(identity.expect("an identity"))
        .listen(listen);
    let node = host(node).start().await.expect("starts");
    println!("listens on {}", node.local_addr());
    // The parent holds the other end; it closes when the parent is gone, however it went.
    let (gone, parent_gone) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(gone);
    });
    // Told to whoever waits for a quorum that survives a loss.
    let votes = async {
        while !node.position().votes {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::fs::write(file("votes"), "").expect("written");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = parent_gone => {}
        () = votes => {}
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_peer_is_noticed_in_the_documented_time_and_its_calls_end() {
    let (folder, identity) = town();
    let process = Process::start(CHILD, folder.path(), "127.0.0.1:0");
    let client = connect(identity, process.addr).await;
    let worker = client.service::<Worker>();
    assert_eq!(worker.ping().await, Ok(process.child.id()));

    // It has no deadline, and ends with its peer all the same.
    let mut news = worker.news().await.expect("it begins");
    assert_eq!(news.next().await, Some(Ok(1)));
    process.freeze().await;
    let begun = Instant::now();
    let error = worker.ping().timeout(DEADLINE).await.expect_err("frozen");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::PeerLost, Ran::MayHaveRun),
        "{error}"
    );
    assert!(
        begun.elapsed() < NOTICED + SLACK,
        "noticed after {:?}",
        begun.elapsed()
    );
    let broken = tokio::time::timeout(SLACK, news.next()).await;
    let broken = broken.expect("it ends with the link").expect("an error");
    assert_eq!(broken.expect_err("frozen").code(), Code::StreamBroken);
    let begun = Instant::now();
    let error = worker
        .ping()
        .timeout(DEADLINE)
        .await
        .expect_err("still frozen");
    assert_eq!(error.ran(), Ran::NotSent, "{error}");
    assert!(
        begun.elapsed() < SLACK,
        "refused after {:?}",
        begun.elapsed()
    );

    process.signal(Signal::CONT);
    answers_again(&worker).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_to_a_killed_peer_end_and_its_next_life_answers() {
    let (folder, identity) = town();
    let process = Process::start(CHILD, folder.path(), "127.0.0.1:0");
    let addr = process.addr;
    let client = connect(identity, addr).await;
    let worker = client.service::<Worker>();
    assert!(worker.ping().await.is_ok());
    let hanging = tokio::spawn({
        let worker = worker.clone();
        async move { worker.hang().timeout(DEADLINE).await }
    });
    eventually("the call is in flight", || {
        client
            .metrics()
            .contains("callboard_calls_in_flight{method=\"Worker/hang\"} 1")
    })
    .await;
    drop(process);
    let begun = Instant::now();
    let error = hanging.await.expect("joins").expect_err("killed");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::PeerLost, Ran::MayHaveRun),
        "{error}"
    );
    assert!(
        begun.elapsed() < NOTICED + SLACK,
        "noticed after {:?}",
        begun.elapsed()
    );

    let again = Process::start(CHILD, folder.path(), &addr.to_string());
    assert_eq!(answers_again(&worker).await, again.child.id());
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_cannot_have_one_data_folder_and_a_killed_one_leaves_it() {
    let (folder, _) = town();
    let process = Process::start(CHILD_WITH_DATA, folder.path(), "127.0.0.1:0");
    let file = |name: &str| folder.path().join(name);
    let start = || {
        let identity = Identity::from_pem_files(file("ca.pem"), file("cert.pem"), file("key.pem"));
        let node = Node::builder().identity(identity.expect("an identity"));
        node.data_dir(file("data")).bootstrap_expect(1).start()
    };
    let error = start().await.expect_err("it is locked");
    assert_eq!(error.code(), Code::DataDirLocked);
    let names_it = error.to_string().contains(&*file("data").to_string_lossy());
    assert!(names_it, "{error}");
    drop(process);
    let node = start().await.expect("the lock went with its process");
    // The lock proves that the life before is over: nobody waits for its lease.
    let begun = Instant::now();
    node.joined(DEADLINE).await.expect("a member again");
    assert!(begun.elapsed() < SLACK, "{:?}", begun.elapsed());
    node.stop().await;
}

/// Waits until a call succeeds; the bound holds several tries of a lost link.
async fn answers_again(worker: &WorkerRef) -> u32 {
    let begun = Instant::now();
    loop {
        match worker.ping().timeout(Duration::from_secs(1)).await {
            Ok(process) => return process,
            Err(error) => assert!(begun.elapsed() < Duration::from_secs(15), "{error}"),
        }
        tokio::task::yield_now().await;
    }
}
