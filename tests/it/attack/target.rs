//! The node that is attacked: a process of its own, with what tells its state from outside.
//!
//! A test runs its own executable again as the node, by the test named in `CHILD`. The node prints its
//! metrics when it is asked to on its standard input.

use std::{
    io::{BufRead, BufReader, Lines, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, ChildStdout, Stdio},
    sync::Mutex,
    time::Duration,
};

use callboard::{
    CallLimits,
    net::{Config, Identity},
    prelude::*,
};
use tempfile::TempDir;
use tokio::sync::MutexGuard;

use crate::support::{eventually, write_private};

use super::{
    forge::{Forge, Shown},
    limits::{Bound, resident_bytes},
};

pub const CLUSTER: &str = "bank";

const CHILD: &str = "attack::target::runs_the_node_that_is_attacked";
const FOLDER: &str = "CALLBOARD_ATTACK_FOLDER";

/// How long a node of these tests lets what was begun stand still.
pub const STALL: Duration = Duration::from_secs(1);

/// One of these tests at a time: they compare what a node does with and without an attack.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[derive(Default, Service)]
pub struct Bank {
    clerk: Option<ClerkRef>,
}

#[derive(Default, Actor)]
pub struct Clerk;

#[handlers]
impl Clerk {
    pub fn stamp(&mut self, number: u32) -> u32 {
        number
    }
}

/// As deep as its bytes say, but for its stated depth.
#[derive(Debug, Wire)]
#[wire(depth = 64)]
pub struct Tree {
    next: Option<Box<Tree>>,
}

/// One byte on the wire may be 136 in memory.
#[derive(Debug, Wire)]
pub enum Wide {
    Empty,
    Full([u64; 16]),
}

#[handlers]
impl Bank {
    pub fn echo(&self, number: u64) -> u64 {
        number
    }

    pub fn takes(&self, body: Vec<u8>) -> u32 {
        body.len() as u32
    }

    pub fn names(&self, names: Vec<String>) -> u32 {
        names.len() as u32
    }

    pub fn units(&self, units: Vec<()>) -> u32 {
        units.len() as u32
    }

    pub fn wide(&self, wide: Vec<Wide>) -> u32 {
        let full = |wide: &&Wide| matches!(wide, Wide::Full(words) if words[0] != 0);
        wide.iter().filter(full).count() as u32
    }

    pub fn deep(&self, tree: Tree) -> u32 {
        std::iter::successors(Some(&tree), |tree| tree.next.as_deref()).count() as u32
    }

    pub fn large(&self, bytes: u32) -> Vec<u8> {
        vec![7; bytes as usize]
    }

    pub async fn hangs(&self) {
        std::future::pending().await
    }

    pub fn clerk(&self) -> Option<ClerkRef> {
        self.clerk.clone()
    }
}

/// The settings of a node in a small container. The book's page on security shows them.
// ANCHOR: small
pub fn small() -> (Config, CallLimits) {
    let mut config = Config::default();
    config.limits.body_bytes_max = 4 << 20;
    config.limits.decode_bytes_max = 16 << 20;
    config.peers_max = 64;
    config.pending_max = 32;
    config.lane_buffer_bytes_max = 256 << 10;
    config.streams_max = 24;
    config.stream_window_bytes = 20 << 10;
    config.receive_window_bytes = 1 << 20;
    config.send_window_bytes = 512 << 10;
    config.datagram_bytes_max = 1500;
    let mut calls = CallLimits::default();
    calls.served_max = 2048;
    calls.bodies_bytes_max = 4 << 20;
    calls.reply_bytes_max = 4 << 20;
    (config, calls)
}
// ANCHOR_END: small

/// A node in a process of its own; killed when dropped.
pub struct Target {
    child: Child,
    lines: Mutex<Lines<BufReader<ChildStdout>>>,
    pub addr: SocketAddr,
    pub forge: Forge,
    pub bound: Bound,
    _folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Target {
    pub async fn start() -> Self {
        let turn = TURN.lock().await;
        let forge = Forge::new("the authority of the bank");
        let folder = tempfile::tempdir().expect("a folder");
        let shown = forge.issue(&format!("spiffe://{CLUSTER}/node/teller"));
        write_private(&folder.path().join("ca.pem"), &forge.certificate_pem);
        write_private(&folder.path().join("cert.pem"), &shown.certificate_pem);
        write_private(&folder.path().join("key.pem"), &shown.key_pem);
        let bound = Bound::new();
        let mut child = bound
            .command(&std::env::current_exe().expect("an executable"))
            .args(["--exact", CHILD, "--nocapture", "--include-ignored"])
            .env(FOLDER, folder.path())
            // A panic that names its lines reads all debug information of this executable into memory,
            // and under siege a debug assertion of quinn's panics. That is not the node's memory.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let addr = lines
            .find_map(|line| line.ok()?.split_once("listens on ")?.1.parse().ok())
            .expect("the node says where it listens");
        Self {
            child,
            lines: Mutex::new(lines),
            addr,
            forge,
            bound,
            _folder: folder,
            _turn: turn,
        }
    }

    /// Issues what a client of this name shows.
    pub fn client(&self, name: &str) -> Shown {
        self.forge
            .issue(&format!("spiffe://{CLUSTER}/client/{name}"))
    }

    /// Connects a client of ours.
    pub async fn connect(&self, name: &str) -> Client {
        let shown = self.client(name);
        let identity = Identity::from_pem(
            self.forge.certificate_pem.as_bytes(),
            shown.certificate_pem.as_bytes(),
            shown.key_pem.as_bytes(),
        );
        let connecting = Client::builder()
            .identity(identity.expect("an identity"))
            .seed(self.addr)
            .connect();
        connecting.await.expect("connects")
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn resident_bytes(&self) -> u64 {
        resident_bytes(self.process())
    }

    /// Returns the node's metrics.
    pub fn metrics(&self) -> String {
        let mut lines = self.lines.lock().expect("no panic");
        let mut stdin = self.child.stdin.as_ref().expect("a pipe");
        stdin.write_all(b"metrics\n").expect("the node reads");
        let mut text = String::new();
        for line in lines.by_ref() {
            let line = line.expect("the node writes");
            if line == "# EOF" {
                return text;
            }
            text.push_str(&line);
            text.push('\n');
        }
        panic!("the node has ended: {text}");
    }

    /// Returns the value of a series, 0 if there is none.
    pub fn counted(&self, series: &str) -> u64 {
        let metrics = self.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0, |value| value.trim().parse().expect("a number"))
    }

    /// Waits until a series has at least this value.
    pub async fn counts(&self, series: &str, least: u64) {
        eventually(&format!("{series} {least}"), || {
            self.counted(series) >= least
        })
        .await;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test of its own: with the environment of these tests it is their node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_the_node_that_is_attacked() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let file = |name: &str| Path::new(&folder).join(name);
    let identity = Identity::from_pem_files(file("ca.pem"), file("cert.pem"), file("key.pem"));
    let (mut config, limits) = small();
    config.stall_timeout = STALL;
    let node = Node::builder()
        .identity(identity.expect("an identity"))
        .config(config)
        .call_limits(limits)
        .host_with::<Bank>(|ctx| Bank {
            clerk: Some(ctx.spawn::<Clerk>()),
        })
        .start()
        .await
        .expect("starts");
    println!("listens on {}", node.local_addr());
    // The parent holds the other end; it closes when the parent is gone, however it went.
    let (asked, mut asks) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if asked.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while asks.recv().await.is_some() {
        print!("{}", node.metrics());
        std::io::stdout().flush().expect("the parent reads");
    }
    node.stop().await;
}
