//! Who may call what: roles in certificates, methods that name roles, and the policy of a node.

use std::fmt::Debug;

use callboard::{__private::WireShape, Client, Code, Node, Policy, Ran, net::PeerKind, prelude::*};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::support::{DEADLINE, Town, connect, eventually, soon};

/// Its reader refuses the value, whatever the bytes: who hears of it has had it decoded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sealed(u32);

impl Sealed {
    pub fn new(value: u32) -> Self {
        Self(value)
    }
}

impl<'de> Deserialize<'de> for Sealed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = u32::deserialize(deserializer)?;
        Err(de::Error::custom(format!("{value} was looked at")))
    }
}

impl callboard::Wire for Sealed {
    fn describe(shape: &mut WireShape) {
        shape.opaque("sealed/1");
    }
}

#[derive(Default, Service)]
pub struct Vault;

#[handlers]
impl Vault {
    #[handler(allow = "admin, ops")]
    pub fn open(&self, number: u32) -> u32 {
        number
    }

    #[handler(allow = "admin", idempotent)]
    pub fn unseal(&self, _value: Sealed) {}

    #[handler(allow = "admin")]
    pub fn store(&self, bytes: Vec<u8>) -> usize {
        bytes.len()
    }

    #[handler(allow = "admin")]
    pub fn audit(&self, entries: Inbound<u32>) -> impl Stream<Item = u32> + use<> {
        entries.map(|entry| entry.unwrap_or_default())
    }

    pub fn who(&self, ctx: &Ctx<Self>) -> (bool, Vec<String>, bool) {
        let caller = ctx.caller().expect("a call");
        let roles = caller.roles().iter().map(ToString::to_string).collect();
        (caller.is_local(), roles, caller.has_role("admin"))
    }

    /// Calls what its own caller may not, as the node.
    pub async fn through(&self, ctx: &Ctx<Self>) -> Result<u32, CallError> {
        ctx.service::<Vault>().open(3).await
    }
}

#[derive(Default, Actor)]
pub struct Safe {
    opened: u32,
}

#[handlers]
impl Safe {
    #[handler(allow = "admin")]
    pub fn open(&mut self) -> u32 {
        self.opened += 1;
        self.opened
    }

    pub fn opened(&self) -> u32 {
        self.opened
    }
}

async fn client(town: &Town, node: &Node, roles: &[&str]) -> Client {
    let name = format!("c-{}", roles.join("-"));
    let identity = town.with_roles(&name, PeerKind::Client, roles);
    connect(identity, node.local_addr()).await
}

fn forbidden<T: Debug>(result: Result<T, CallError>) -> CallError {
    let error = result.expect_err("forbidden");
    assert_eq!(error.code(), Code::Forbidden, "{error}");
    assert_eq!(error.ran(), Ran::Refused);
    error
}

fn refused_of(node: &Node, method: &str) -> u64 {
    let series = format!("callboard_served_errors_total{{method=\"{method}\",code=\"CB1032\"}} ");
    let text = node.metrics();
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_names_roles_refuses_those_who_have_none_of_them() {
    let town = Town::new();
    let node = town.node("n1").host::<Vault>().start().await.expect("n1");
    let reader = client(&town, &node, &["reader"]).await;
    let ops = client(&town, &node, &["ops"]).await;
    let admin = client(&town, &node, &["admin", "reader"]).await;

    assert_eq!(ops.service::<Vault>().open(1).await, Ok(1));
    assert_eq!(admin.service::<Vault>().open(2).await, Ok(2));
    let vault = reader.service::<Vault>();
    let error = forbidden(soon(vault.open(3).timeout(DEADLINE)).await);
    assert_eq!(error.code(), Code::Forbidden);
    assert_eq!(
        error.to_string(),
        "CB1032 forbidden: method Vault/open on node n1: it needs one of the roles admin, ops; \
         the caller's certificate has reader; give the caller's certificate a role that the method \
         and the node's policy allow"
    );
    // What has the right gets as far as the arguments, which nobody can read.
    let read = admin.service::<Vault>().unseal(Sealed(1)).await;
    assert_eq!(read.expect_err("unreadable").code(), Code::BodyUndecodable);
    // It is idempotent, and yet not tried again.
    forbidden(soon(vault.unseal(Sealed(1)).timeout(DEADLINE)).await);
    assert_eq!(refused_of(&node, "Vault/unseal"), 1);
    // A role for one method is none for another, and everyone may call what names none.
    forbidden(ops.service::<Vault>().unseal(Sealed(1)).await);
    assert_eq!(
        admin.service::<Vault>().who().await,
        Ok((false, vec!["admin".into(), "reader".into()], true))
    );
    assert_eq!(vault.who().await, Ok((false, vec!["reader".into()], false)));
    for client in [reader, ops, admin] {
        client.close().await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_large_bodies_and_sends_are_refused_and_counted() {
    let town = Town::new();
    let node = town.node("n1").host::<Vault>().start().await.expect("n1");
    let nobody = client(&town, &node, &[]).await;
    let vault = nobody.service::<Vault>();
    let begun = vault.audit(stream::pending()).timeout(DEADLINE);
    let error = soon(begun).await.map(|_| ()).expect_err("forbidden");
    assert_eq!(error.code(), Code::Forbidden, "{error}");
    // Above what a frame takes, so that it has a stream of its own, and above any window.
    forbidden(soon(vault.store(vec![7; 32 << 20]).timeout(DEADLINE)).await);
    vault.open(1).send().await.expect("it left");
    eventually("the send is refused", || {
        refused_of(&node, "Vault/open") == 1
    })
    .await;
    assert_eq!(refused_of(&node, "Vault/audit"), 1);
    assert_eq!(refused_of(&node, "Vault/store"), 1);

    // The link and its streams are as before.
    let admin = client(&town, &node, &["admin"]).await;
    let vault = admin.service::<Vault>();
    assert_eq!(vault.store(vec![7; 4 << 20]).await, Ok(4 << 20));
    let echoed = vault.audit(stream::iter([1, 2, 3])).await.expect("begun");
    let echoed: Vec<_> = echoed.map(|entry| entry.expect("whole")).collect().await;
    assert_eq!(echoed, [1, 2, 3]);
    assert!(nobody.service::<Vault>().who().await.is_ok());
    nobody.close().await;
    admin.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spawned_actor_asks_for_roles_and_a_call_on_its_own_node_has_every_right() {
    let town = Town::new();
    let policy = Policy::deny_by_default().allow_anyone("Vault/*");
    let node = town.node("n1").host::<Vault>().policy(policy);
    let node = node.start().await.expect("n1");
    let peer = town.with_roles("n2", PeerKind::Node, &["admin"]);
    let peer = Node::builder().identity(peer).seed(node.local_addr());
    let peer = peer.start().await.expect("n2");
    eventually("they are linked", || !peer.members().is_empty()).await;

    let safe = node.spawn::<Safe>();
    assert_eq!(safe.open().await, Ok(1));
    assert_eq!(peer.attach(safe.clone()).open().await, Ok(2));
    let nobody = client(&town, &node, &[]).await;
    forbidden(nobody.attach(safe.clone()).open().await);
    // No rule names it, and it names no role itself.
    forbidden(peer.attach(safe.clone()).opened().await);
    assert_eq!(safe.opened().await, Ok(2));
    // What a handler calls on its own node, the node calls.
    assert_eq!(nobody.service::<Vault>().through().await, Ok(3));
    assert_eq!(
        node.service::<Vault>().who().await,
        Ok((true, Vec::new(), true))
    );
    nobody.close().await;
    peer.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_of_a_node_takes_away_and_does_not_add() {
    let town = Town::new();
    let policy = Policy::allow_by_default()
        .allow("Vault/w*", ["clerk"])
        .deny("Vault/store")
        .allow_anyone("*/open");
    let node = town.node("n1").host::<Vault>().policy(policy);
    let node = node.start().await.expect("n1");
    let clerk = client(&town, &node, &["clerk"]).await;
    let admin = client(&town, &node, &["admin"]).await;

    assert!(clerk.service::<Vault>().who().await.is_ok());
    forbidden(admin.service::<Vault>().who().await);
    let error = forbidden(admin.service::<Vault>().store(vec![1]).await);
    assert_eq!(error.detail(), "the node's policy lets nobody else call it");
    forbidden(clerk.service::<Vault>().open(1).await);
    assert_eq!(admin.service::<Vault>().open(1).await, Ok(1));
    clerk.close().await;
    admin.close().await;
    node.stop().await;
}

#[tokio::test]
async fn a_policy_that_can_fit_nothing_is_refused_at_the_start() {
    let town = Town::new();
    let policy = Policy::deny_by_default().allow("Vault", ["admin"]);
    let error = town.node("n1").policy(policy).start().await;
    let error = error.expect_err("no method");
    assert_eq!(error.code(), Code::ConfigInvalid);
    assert_eq!(
        error.to_string(),
        "CB3009 config-invalid: policy: the pattern \"Vault\" is not `interface/method`, such as \
         `Orders/*`; correct the setting that the detail names"
    );
}
