//! What the page on identity and rights shows.

use std::path::Path;

use callboard::{net::PeerKind, prelude::*};

use crate::support::{Town, connect, eventually};

// ANCHOR: allow
#[derive(Default, Service)]
pub struct Orders;

#[handlers]
impl Orders {
    /// For clerks and admins.
    #[handler(allow = "clerk, admin")]
    pub fn cancel(&self, ctx: &Ctx<Self>, number: u32) -> String {
        match ctx.caller() {
            Some(caller) if caller.has_role("admin") => format!("{number} is gone for good"),
            _ => format!("{number} is cancelled"),
        }
    }

    /// For every node and client of the cluster.
    pub fn count(&self) -> u32 {
        3
    }
}
// ANCHOR_END: allow

#[tokio::test]
async fn roles_and_a_policy_say_who_may_call_what() {
    let town = Town::new();
    // ANCHOR: policy
    use callboard::Policy;

    let policy = Policy::deny_by_default()
        .allow_anyone("Greeter/*")
        .allow("Orders/*", ["clerk", "auditor"])
        .deny("*/reset");
    // ANCHOR_END: policy
    let node = town.node("n1").host::<Orders>().policy(policy);
    let node = node.start().await.expect("starts");
    let as_role = async |role| {
        let identity = town.with_roles(role, PeerKind::Client, &[role]);
        connect(identity, node.local_addr()).await
    };
    let (clerk, auditor) = (as_role("clerk").await, as_role("auditor").await);
    let cancelled = clerk.service::<Orders>().cancel(7).await;
    assert_eq!(cancelled.as_deref(), Ok("7 is cancelled"));
    let cancelled = node.service::<Orders>().cancel(7).await;
    assert_eq!(cancelled.as_deref(), Ok("7 is gone for good"));
    let orders = auditor.service::<Orders>();
    assert_eq!(orders.count().await, Ok(3));
    // ANCHOR: forbidden
    let error = orders.cancel(7).await.expect_err("an auditor is no clerk");
    assert_eq!(error.code(), Code::Forbidden);
    // ANCHOR_END: forbidden
    clerk.close().await;
    auditor.close().await;
    node.stop().await;
}

// ANCHOR: rotate
use callboard::{
    Node,
    net::{Identity, StartError},
};

/// Takes in the files anew, after they were replaced. Where one is wrong, nothing changes.
fn renew(node: &Node, folder: &Path) -> Result<(), StartError> {
    let [ca, certificate, key] = ["ca.pem", "n1.pem", "n1.key"].map(|name| folder.join(name));
    node.rotate(&Identity::from_pem_files(ca, certificate, key)?)
}
// ANCHOR_END: rotate

// ANCHOR: deny
use callboard::net::DenyList;

/// Takes in a list with an entry a line: the name of a node or client, or the fingerprint of a
/// certificate, `sha256:` and the digits that `openssl x509 -fingerprint -sha256` shows.
fn deny(node: &Node, list: &str) -> Result<(), StartError> {
    node.deny(DenyList::of(list.lines())?);
    Ok(())
}
// ANCHOR_END: deny

#[cfg(unix)]
#[tokio::test]
async fn files_and_lists_are_taken_in_anew() {
    use std::os::unix::fs::PermissionsExt;

    let town = Town::new();
    let node = town.node("n1").host::<Orders>().start().await;
    let node = node.expect("starts");
    let folder = tempfile::tempdir().expect("a folder");
    let missing = renew(&node, folder.path()).expect_err("no files yet");
    assert_eq!(missing.code(), Code::Io);
    let name = "n1".parse().expect("a name");
    let issued = town.authority().issue_pem(name, PeerKind::Node);
    let issued = issued.expect("issued");
    for (name, text) in [
        ("ca.pem", town.authority().certificate_pem()),
        ("n1.pem", issued.certificate),
        ("n1.key", issued.key),
    ] {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    let key = folder.path().join("n1.key");
    for (mode, renewed) in [(0o640, Err(Code::KeyReadable)), (0o600, Ok(()))] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).expect("set");
        let result = renew(&node, folder.path());
        assert_eq!(result.map_err(|error| error.code()), renewed);
    }

    let client = town.client(node.local_addr()).await;
    assert_eq!(client.service::<Orders>().count().await, Ok(3));
    deny(&node, "mallory\nclient\n").expect("two names");
    eventually("it is out", || client.members().is_empty()).await;
    assert_eq!(
        deny(&node, "not a name").expect_err("a mistake").code(),
        Code::ConfigInvalid
    );
    client.close().await;
    node.stop().await;
}
