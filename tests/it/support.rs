//! What the topics share: clusters in one process, under an authority of their own.

use std::{net::SocketAddr, time::Duration};

use callboard::{
    Builder, Client, ClusterName, Node, NodeName,
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

/// Waits until something holds; a bound far above what it takes turns a hang into a failure.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within 20 s: {what}");
}
