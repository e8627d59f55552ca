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

#[tokio::test]
async fn a_call_is_a_future_that_is_made_when_it_is_first_polled() {
    let node = Node::builder()
        .host::<Greeter>()
        .start()
        .await
        .expect("a node");
    let greeter = node.service::<Greeter>();
    let calls = ["Ada", "Bob"].map(|name| greeter.say_hello(name));
    let hellos = futures_util::future::join_all(calls).await;
    assert_eq!(hellos, [Ok("Hello, Ada!".into()), Ok("Hello, Bob!".into())]);
    let spawned = tokio::spawn(greeter.say_hello("Cy"));
    assert_eq!(spawned.await.expect("no panic"), Ok("Hello, Cy!".into()));
    node.stop().await;
}

#[tokio::test]
#[should_panic(expected = "the call has been polled, so it has been made")]
async fn a_call_that_was_made_is_not_sent_too() {
    let node = Node::builder()
        .host::<Greeter>()
        .start()
        .await
        .expect("a node");
    let mut call = node.service::<Greeter>().say_hello("Ada");
    assert!(futures_util::poll!(&mut call).is_pending());
    let _ = call.send().await;
}
