//! What the topics share: clusters in one process, under an authority of their own.

use std::{
    fs,
    future::Future,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use callboard::{
    Builder, CallError, Client, ClusterName, Code, Node, NodeName, RoleName,
    net::{Authority, Config, Identity, PeerKind},
};
use tokio::{net::UdpSocket, sync::watch, task::JoinSet};
use tracing::{Dispatch, Subscriber, subscriber::DefaultGuard};

/// Issues identities of one cluster.
#[derive(Debug)]
pub struct Town(Authority);

impl Town {
    pub fn new() -> Self {
        let cluster = ClusterName::new("test").expect("a name");
        Self(Authority::throw_away(cluster).expect("an authority"))
    }

    pub fn identity(&self, name: &str, kind: PeerKind) -> Identity {
        let name = NodeName::new(name).expect("a name");
        self.0.issue(name, kind).expect("an identity")
    }

    pub fn with_roles(&self, name: &str, kind: PeerKind, roles: &[&str]) -> Identity {
        let name = NodeName::new(name).expect("a name");
        let roles = roles
            .iter()
            .map(|role| RoleName::new(*role).expect("a role"));
        let issued = self.0.issue_with_roles(name, kind, roles);
        issued.expect("an identity")
    }

    /// Returns the authority.
    pub fn authority(&self) -> &Authority {
        &self.0
    }

    /// Begins a node that notices a lost peer within a second.
    pub fn node(&self, name: &str) -> Builder {
        Node::builder()
            .identity(self.identity(name, PeerKind::Node))
            .config(quick())
    }

    pub async fn client(&self, seed: SocketAddr) -> Client {
        connect(self.identity("client", PeerKind::Client), seed).await
    }
}

/// Connects a client.
pub async fn connect(identity: Identity, seed: SocketAddr) -> Client {
    let connecting = Client::builder()
        .identity(identity)
        .config(quick())
        .seed(seed)
        .connect();
    connecting.await.expect("connects")
}

/// Has a subscriber hear what this thread logs, for as long as the guards live: all of a test on a
/// current-thread runtime.
///
/// The second subscriber hears nothing. While there is one alone, a place in the code that another
/// thread reaches first is taken for one that nobody listens to.
pub fn hears(by: impl Subscriber + Send + Sync) -> (DefaultGuard, Dispatch) {
    let second = Dispatch::new(tracing_subscriber::registry());
    (tracing::subscriber::set_default(by), second)
}

/// The lines that were logged on this thread, at a level or above it.
#[derive(Clone, Default)]
pub struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// Listens for as long as the guards live.
    pub fn listen(level: tracing::Level) -> (Self, (DefaultGuard, Dispatch)) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (logged, hears(subscriber))
    }

    /// Returns how many lines have this text.
    pub fn count(&self, text: &str) -> usize {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = String::from_utf8_lossy(&bytes);
        lines.lines().filter(|line| line.contains(text)).count()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logged.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes a new file that nobody else may read.
pub fn write_private(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .expect("made");
    file.write_all(text.as_bytes()).expect("written");
}

/// Link settings that notice a lost peer within a second.
pub fn quick() -> Config {
    let mut config = Config::default();
    config.peer_timeout = Duration::from_secs(1);
    config.keep_alive = Duration::from_millis(300);
    config
}

/// Awaits a call that has to end long before its deadline. One that hangs fails too.
pub async fn soon<T>(call: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(SOON, call).await;
    ended.unwrap_or_else(|_| panic!("it has not ended after {SOON:?}"))
}

/// Returns the code of an error.
pub fn code<T: std::fmt::Debug>(result: Result<T, CallError>) -> Code {
    result.expect_err("an error").code()
}

/// Far above what an error takes, far below [`DEADLINE`].
pub const SOON: Duration = Duration::from_secs(5);

/// The deadline of calls that end otherwise.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until something holds; a bound far above what it takes turns a hang into a failure.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within 20 s: {what}");
}

/// Carries the datagrams between one client and a node. While it is shut, it holds those of the
/// client, as a network does whose queue is full.
#[derive(Debug)]
pub struct Strait {
    near: Arc<UdpSocket>,
    open: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Strait {
    pub async fn new() -> Self {
        Self {
            near: Arc::new(loopback().await),
            open: watch::Sender::new(true),
            tasks: JoinSet::new(),
        }
    }

    /// The address for the client to dial.
    pub fn addr(&self) -> SocketAddr {
        self.near.local_addr().expect("bound")
    }

    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Begins to carry, to the node at this address.
    pub async fn lead_to(&mut self, node: SocketAddr) {
        let far = Arc::new(loopback().await);
        far.connect(node).await.expect("an address");
        let client = watch::Sender::new(None);
        self.tasks.spawn(there(
            self.near.clone(),
            far.clone(),
            self.open.subscribe(),
            client.clone(),
        ));
        self.tasks.spawn(back(self.near.clone(), far, client));
    }
}

async fn there(
    near: Arc<UdpSocket>,
    far: Arc<UdpSocket>,
    mut open: watch::Receiver<bool>,
    client: watch::Sender<Option<SocketAddr>>,
) {
    let mut datagram = vec![0; DATAGRAM_BYTES];
    let mut shut = open.clone();
    while open.wait_for(|open| *open).await.is_ok() {
        tokio::select! {
            biased;
            () = async { drop(shut.wait_for(|open| !open).await) } => {}
            Ok((len, from)) = near.recv_from(&mut datagram) => {
                client.send_replace(Some(from));
                let _ = far.send(&datagram[..len]).await;
            }
        }
    }
}

async fn back(
    near: Arc<UdpSocket>,
    far: Arc<UdpSocket>,
    client: watch::Sender<Option<SocketAddr>>,
) {
    let mut datagram = vec![0; DATAGRAM_BYTES];
    loop {
        // Nobody listens at the node's address any more, or not yet.
        let Ok(len) = far.recv(&mut datagram).await else {
            continue;
        };
        let to = *client.borrow();
        if let Some(to) = to {
            let _ = near.send_to(&datagram[..len], to).await;
        }
    }
}

async fn loopback() -> UdpSocket {
    let bound = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
    bound.expect("a free port")
}

/// The longest datagram of UDP.
const DATAGRAM_BYTES: usize = 65_536;
