//! Calls between nodes and clients over real sockets.

use std::time::Duration;

use callboard::{ClusterName, NodeName, net::Authority, prelude::*};

#[derive(Default, Service)]
pub struct Greeter;

#[handlers]
impl Greeter {
    /// Says hello.
    #[handler(idempotent)]
    pub async fn say_hello(&self, name: String) -> String {
        format!("Hello, {name}!")
    }
}

#[tokio::test]
async fn a_greeter_answers_here_and_on_another_node() {
    let authority = Authority::throw_away(ClusterName::new("test").expect("a name")).expect("made");
    let id = |name: &str, kind| {
        authority
            .issue(NodeName::new(name).expect("a name"), kind)
            .expect("issued")
    };
    use callboard::net::PeerKind;
    let one = Node::builder()
        .identity(id("n1", PeerKind::Node))
        .host::<Greeter>()
        .start()
        .await
        .expect("n1");
    let hello = one
        .service::<Greeter>()
        .say_hello("Ada")
        .await
        .expect("local");
    assert_eq!(hello, "Hello, Ada!");
    let client = Client::builder()
        .identity(id("c1", PeerKind::Client))
        .seed(one.local_addr())
        .connect()
        .await
        .expect("connected");
    let hello = client
        .service::<Greeter>()
        .say_hello("Bob")
        .timeout(Duration::from_secs(2))
        .await
        .expect("remote");
    assert_eq!(hello, "Hello, Bob!");
    client.close().await;
    one.stop().await;
}
