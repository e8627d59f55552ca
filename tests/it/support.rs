//! What the topics share: clusters in one process, under an authority of their own.

use std::{
    future::IntoFuture,
    net::SocketAddr,
    time::{Duration, Instant},
};

use callboard::{
    Builder, CallError, Client, ClusterName, Code, Node, NodeName,
    net::{Authority, Config, Identity, PeerKind},
};

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

    /// Begins a node that notices a lost peer within a second.
    pub fn node(&self, name: &str) -> Builder {
        Node::builder()
            .identity(self.identity(name, PeerKind::Node))
            .config(quick())
    }

    pub async fn client(&self, seed: SocketAddr) -> Client {
        let identity = self.identity("client", PeerKind::Client);
        let connecting = Client::builder()
            .identity(identity)
            .config(quick())
            .seed(seed)
            .connect();
        connecting.await.expect("connects")
    }
}

/// Link settings that notice a lost peer within a second.
pub fn quick() -> Config {
    let mut config = Config::default();
    config.peer_timeout = Duration::from_secs(1);
    config.keep_alive = Duration::from_millis(300);
    config
}

/// Awaits a call that has to end long before its deadline.
pub async fn soon<T>(call: impl IntoFuture<Output = T>) -> T {
    let begun = Instant::now();
    let value = call.await;
    assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
    value
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
