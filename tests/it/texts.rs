//! What errors say: the node, the limit, both shapes, the cause, and what to do about it.

use std::{sync::Arc, time::Duration};

use callboard::{Code, Strategy, net::PeerKind, prelude::*};

use crate::support::{Town, eventually, quick};

/// The interfaces as two versions of a program know them.
mod old {
    use callboard::prelude::*;

    #[derive(Default, Service)]
    pub struct Desk;

    #[handlers]
    impl Desk {
        pub fn relay(&self, text: String) -> u32 {
            text.len() as u32
        }

        pub fn takes(&self, body: Vec<u8>) -> u32 {
            body.len() as u32
        }
    }

    #[derive(Default, Actor)]
    #[actor(backoff = "1ms..2ms", intensity = "2 in 1m")]
    pub struct Till;

    #[handlers]
    impl Till {
        pub fn ring(&self, amount: u32) -> u32 {
            amount
        }

        pub fn jam(&mut self) {
            panic!("the drawer is stuck");
        }
    }

    #[derive(Default, Actor)]
    #[actor(restart = "never")]
    pub struct Fuse;

    #[handlers]
    impl Fuse {
        pub fn blow(&mut self) {
            panic!("too much current");
        }
    }
}

mod new {
    use callboard::prelude::*;

    #[derive(Default, Service)]
    pub struct Desk;

    #[handlers]
    impl Desk {
        pub fn relay(&self, number: u64) -> u32 {
            number as u32
        }
    }

    #[derive(Default, Actor)]
    pub struct Till;

    #[handlers]
    impl Till {
        pub fn ring(&self, amount: String) -> u32 {
            amount.len() as u32
        }
    }
}

/// Returns the two shapes of `the … the shape A here and B there; …`, with what is around them.
fn shapes(detail: &str) -> (&str, &str, &str) {
    let (what, rest) = detail.split_once(" the shape ").expect("a shape");
    let (here, rest) = rest.split_once(" here and ").expect("the caller's");
    let (there, rest) = rest.split_once(" there; ").expect("the other's");
    assert_eq!(rest, "both sides must be built from the same types");
    (what, here, there)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn types_that_differ_are_told_with_both_shapes_and_the_node() {
    let town = Town::new();
    let builder = town.node("n1").host::<old::Desk>();
    let node = builder.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;

    let relayed = client.service::<new::Desk>().relay(1).await;
    let service = relayed.expect_err("another type");
    assert_eq!(service.code(), Code::SchemaMismatch);
    assert_eq!(service.subject(), "method Desk/relay on node n1");
    let (what, here, there) = shapes(service.detail());
    assert_eq!(what, "the arguments have");
    assert_ne!(here, there);

    let till = serde_json::to_string(&node.spawn::<old::Till>()).expect("encodes");
    let till: new::TillRef = serde_json::from_str(&till).expect("decodes");
    let rung = client.attach(till).ring("1").await;
    let spawned = rung.expect_err("another type");
    assert_eq!(spawned.code(), Code::SchemaMismatch);
    assert_eq!(spawned.subject(), "method Till/ring on node n1");
    let (what, here, there) = shapes(spawned.detail());
    assert_eq!(what, "the arguments and the reply together have");
    assert_ne!(here, there);
    assert_eq!((here.len(), there.len()), (16, 16));

    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_names_the_limit_and_the_way_round_it() {
    let town = Town::new();
    let builder = town.node("n1").host::<old::Desk>();
    let node = builder.start().await.expect("starts");
    let mut config = quick();
    config.limits.body_bytes_max = 1 << 20;
    let client = Client::builder()
        .identity(town.identity("small", PeerKind::Client))
        .config(config)
        .seed(node.local_addr());
    let client = client.connect().await.expect("connects");
    let taken = client.service::<old::Desk>().takes(vec![0; 2 << 20]).await;
    let error = taken.expect_err("too large");
    assert_eq!(error.code(), Code::BodyTooLarge);
    for part in ["1048576 bytes", "`body_bytes_max`", "stream"] {
        assert!(error.detail().contains(part), "{part}: {error}");
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_gone_is_named() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let till = client.attach(node.spawn::<old::Till>());
    assert_eq!(till.ring(1).await, Ok(1));
    node.stop().await;
    eventually("the link is down", || client.members().is_empty()).await;
    let error = till.ring(2).await.expect_err("no link");
    assert_eq!(error.code(), Code::PeerUnreachable);
    assert_eq!(error.subject(), "method Till/ring on node n1");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_was_given_up_tells_why() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let local = node.spawn::<old::Till>();
    let remote = client.attach(local.clone());
    for _ in 0..3 {
        let jammed = local.jam().await.expect_err("a panic");
        assert_eq!(jammed.code(), Code::Panicked);
    }
    let errors = [local.ring(1).await, remote.ring(1).await];
    for error in errors.map(|rung| rung.expect_err("given up")) {
        assert_eq!(error.code(), Code::Quarantined);
        assert_eq!(error.subject(), "method Till/ring on node n1");
        let why = "it failed more than 2 times within 60s, last: the drawer is stuck";
        assert!(error.detail().ends_with(why), "{error}");
        assert!(error.detail().contains("spawn a new one"), "{error}");
    }
    let fuse = node.spawn::<old::Fuse>();
    assert_eq!(
        fuse.blow().await.map_err(|error| error.code()),
        Err(Code::Panicked)
    );
    callboard::watch(&fuse).await;
    let error = fuse.blow().await.expect_err("given up");
    assert_eq!(error.code(), Code::Quarantined);
    let why = "its settings say not to restart it: too much current";
    assert!(error.detail().ends_with(why), "{error}");
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sibling_that_was_given_up_too_names_the_one_that_failed() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let group = node.supervisor(Strategy::OneForAll);
    let failing = group.spawn::<old::Till>();
    let sibling = group.spawn::<old::Fuse>();
    let watched = callboard::watch(&sibling);
    for _ in 0..3 {
        assert!(failing.jam().await.is_err());
    }
    let ended = tokio::time::timeout(Duration::from_secs(20), watched).await;
    assert!(ended.is_ok(), "the sibling goes on");
    let error = sibling.blow().await.expect_err("given up");
    let why = "its sibling Till failed more than 2 times within 60s, last: the drawer is stuck";
    assert!(error.detail().ends_with(why), "{error}");
    node.stop().await;
}

/// What `main` prints of an error is its `Debug`.
#[tokio::test]
async fn a_question_mark_in_main_prints_the_advice() {
    let town = Town::new();
    let node = Arc::new(town.node("n1").start().await.expect("starts"));
    let main = async {
        node.service::<old::Desk>().relay("hello").await?;
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    let error = main.await.expect_err("no host");
    let printed = format!("Error: {error:?}");
    assert!(
        printed.starts_with("Error: CB1005 no-host: method Desk/relay: "),
        "{printed}"
    );
    assert!(printed.ends_with(Code::NoHost.advice()), "{printed}");
}
