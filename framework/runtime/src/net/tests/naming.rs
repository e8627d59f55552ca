//! Seeds that have names.

use callboard_protocol::code::Code;

use super::*;
use crate::env::{Lookup, Names};

/// A resolver whose entries a test writes.
#[derive(Debug, Default)]
struct Entries(Mutex<BTreeMap<String, Vec<SocketAddr>>>);

impl Entries {
    fn write(&self, name: &str, addrs: &[SocketAddr]) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.insert(name.to_owned(), addrs.to_vec());
    }
}

impl Names for Entries {
    fn look_up(&self, name: &str) -> Lookup {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = entries.get(name).cloned();
        let missing = || std::io::Error::other("no such host");
        Box::pin(std::future::ready(found.ok_or_else(missing)))
    }
}

const GATE: &str = "gate.internal:4001";

fn by_name(identity: Identity, entries: &Arc<Entries>) -> Peer {
    let mut env = Env::real();
    env.names = Arc::clone(entries) as Arc<dyn Names>;
    Start {
        names: vec![GATE.into()],
        env,
        ..Start::new(identity)
    }
    .go()
}

#[tokio::test]
async fn a_name_is_looked_up_until_it_stands_for_a_node_and_again_when_that_is_lost() {
    let (shop, entries) = (authority("shop"), Arc::new(Entries::default()));
    let b = by_name(node(&shop, "b"), &entries);
    let a = Start::new(node(&shop, "a")).go();
    entries.write(GATE, &[a.addr()]);
    b.seen.linked("a").await;
    // What is behind the name goes, and something else comes at another address.
    a.kill().await;
    let c = Start::new(node(&shop, "c")).go();
    entries.write(GATE, &[c.addr()]);
    b.seen.linked("c").await;
}

#[tokio::test]
async fn a_name_that_stands_for_several_nodes_links_with_all_of_them() {
    let (shop, entries) = (authority("shop"), Arc::new(Entries::default()));
    let a = Start::new(node(&shop, "a")).go();
    let b = Start::new(node(&shop, "b")).go();
    // One that this port cannot reach is left out.
    let other = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 4001));
    entries.write(GATE, &[other, a.addr(), b.addr()]);
    let c = by_name(client(&shop, "c"), &entries);
    c.seen.linked("a").await;
    c.seen.linked("b").await;
}

#[tokio::test]
async fn who_finds_no_node_by_a_name_is_told_of_the_name() {
    let (shop, entries) = (authority("shop"), Arc::new(Entries::default()));
    let c = by_name(client(&shop, "c"), &entries);
    let error = c.net.first_link(Duration::from_millis(200)).await;
    let error = error.expect_err("nobody is there");
    assert_eq!(error.code(), Code::SeedUnreachable);
    let said = "gate.internal:4001: no such host";
    assert!(error.detail().contains(said), "{error}");
}

#[tokio::test]
async fn the_systems_resolver_finds_this_machine() {
    let shop = authority("shop");
    let a = Start::new(node(&shop, "a")).go();
    let c = Start {
        names: vec![format!("localhost:{}", a.addr().port()).into()],
        ..Start::new(client(&shop, "c"))
    };
    c.go().seen.linked("a").await;
}
