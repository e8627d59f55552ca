//! Actor types that ask for nodes of a role, with labels, in a zone: who owns their keys, and what
//! callers and operators are told while nobody may.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use callboard::{
    Actor, Builder, Code, Ctx, Node, Profile, Wire,
    admin::{ActorName, Admin, KeyName, PlaceReason},
    handlers,
    net::PeerKind,
};
use tempfile::TempDir;

use crate::support::{DEADLINE, Town, soon};

/// Lives on fast disks of two zones.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover, labels = "disk=ssd, gpu=no", zones = "eu-1, eu-2")]
pub struct Archive;

#[handlers]
impl Archive {
    pub fn home(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }
}

/// Lives where a certificate says so.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover, role = "storage")]
pub struct Vault;

#[handlers]
impl Vault {
    pub fn home(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }
}

struct Place {
    town: Town,
    disk: TempDir,
}

impl Place {
    fn new() -> Self {
        let (town, disk) = (Town::new(), tempfile::tempdir().expect("a folder"));
        Self { town, disk }
    }

    fn node(&self, name: &str) -> Builder {
        let builder = self.town.node(name).data_dir(self.disk.path().join(name));
        builder
            .profile(Profile::fast())
            .host::<Archive>()
            .host::<Vault>()
    }

    /// Starts the only voter, which lacks everything.
    async fn first(&self) -> Node {
        let node = self.node("n1").bootstrap_expect(1).start().await;
        let node = node.expect("starts");
        node.joined(DEADLINE).await.expect("a member");
        node
    }
}

/// Asks why a key is where it is, until a node is told to lack this.
async fn lacks(node: &Node, kind: &str, name: &str, text: &str) -> PlaceReason {
    let asked = async {
        loop {
            let (kind, key) = (kind.to_owned(), KeyName::Text("a".to_owned()));
            let why = node.service::<Admin>().why(ActorName { kind, key });
            // It does not know of the type before it is placed.
            if let Ok(report) = why.timeout(DEADLINE).await {
                let mut told = report.candidates.iter();
                if told.any(|it| it.node == name && it.why_not.as_deref() == Some(text)) {
                    return report.reason;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    soon(asked).await
}

/// Calls until the error is this one.
async fn refused(node: &Node, text: &str) {
    let calls = async {
        loop {
            let call = node.actor::<Archive>("a").home();
            let error = call.timeout(Duration::from_millis(100)).await;
            let error = error.expect_err("nobody may own it");
            if error.code() == Code::SlotUnowned && error.to_string().contains(text) {
                return;
            }
        }
    };
    soon(calls).await;
}

async fn homes_of_archives(node: &Node) -> BTreeMap<String, usize> {
    let mut homes = BTreeMap::new();
    for key in 0..400 {
        let archive = node.actor::<Archive>(format!("k{key}"));
        let home = soon(archive.home().timeout(DEADLINE))
            .await
            .expect("answers");
        *homes.entry(home).or_default() += 1;
    }
    homes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_wait_for_a_node_that_may_own_them_and_say_why() {
    let place = Place::new();
    let n1 = place.first().await;
    refused(
        &n1,
        "no member that hosts the type may own it: of n1, it does not have the label disk=ssd",
    )
    .await;
    let reason = lacks(&n1, "Archive", "n1", "it does not have the label disk=ssd").await;
    assert_eq!(reason, PlaceReason::NobodyEligible);

    // A call that waits is answered as soon as there is one.
    let archive = n1.actor::<Archive>("a");
    let waits = tokio::spawn(archive.home().timeout(DEADLINE));
    let elsewhere = place
        .node("n2")
        .label("disk", "ssd")
        .label("gpu", "no")
        .zone("us-1");
    let elsewhere = elsewhere
        .seed(n1.local_addr())
        .start()
        .await
        .expect("starts");
    elsewhere.joined(DEADLINE).await.expect("a member");
    let reason = lacks(
        &elsewhere,
        "Archive",
        "n2",
        "its zone is none of eu-1, eu-2",
    )
    .await;
    assert_eq!(reason, PlaceReason::NobodyEligible);
    let right = place
        .node("n3")
        .label("disk", "ssd")
        .label("gpu", "no")
        .zone("eu-2");
    let right = right.seed(n1.local_addr()).start().await.expect("starts");
    let home = soon(waits).await.expect("no panic").expect("answers");
    assert_eq!(home, "n3");
    let homes = homes_of_archives(&elsewhere).await;
    assert_eq!(homes.keys().collect::<Vec<_>>(), ["n3"]);
    drop(right);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_three_times_the_weight_owns_three_times_as_many_keys() {
    let place = Place::new();
    let n1 = place.first().await;
    let mut nodes = Vec::new();
    for (name, weight) in [("n2", 100), ("n3", 300)] {
        let builder = place
            .node(name)
            .label("disk", "ssd")
            .label("gpu", "no")
            .zone("eu-1");
        let node = builder.weight(weight).seed(n1.local_addr()).start().await;
        nodes.push(node.expect("starts"));
    }
    let admin = n1.service::<Admin>();
    let shares = async {
        loop {
            let report = admin.cluster().timeout(DEADLINE).await.expect("answers");
            let archive = report.types.iter().find(|it| it.name == "Archive");
            let share = archive.map(|it| (it.slots, it.moving + it.unowned));
            if let Some((slots, 0)) = share
                && report.members.len() == 3
            {
                let why = ActorName {
                    kind: "Archive".to_owned(),
                    key: KeyName::Text("a".to_owned()),
                };
                let why = admin.why(why).timeout(DEADLINE).await.expect("answers");
                let of = |name: &str| {
                    let it = why.candidates.iter().find(|it| it.node == name);
                    it.map_or(0, |it| it.slots)
                };
                if [of("n1"), of("n2"), of("n3")] == [0, slots / 4, slots / 4 * 3] {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(60), shares).await;
    settled.expect("the shares become those of the weights");
    let homes = homes_of_archives(&n1).await;
    assert!(
        homes["n3"] > 2 * homes["n2"] && !homes.contains_key("n1"),
        "{homes:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_is_that_of_the_nodes_certificate() {
    let place = Place::new();
    let n1 = place.first().await;
    let identity = place.town.with_roles("n2", PeerKind::Node, &["storage"]);
    let n2 = place.node("n2").identity(identity).seed(n1.local_addr());
    let n2 = n2.start().await.expect("starts");
    let mut homes = BTreeSet::new();
    for key in 0..50 {
        let vault = n1.actor::<Vault>(format!("k{key}"));
        homes.insert(soon(vault.home().timeout(DEADLINE)).await.expect("answers"));
    }
    assert_eq!(homes.into_iter().collect::<Vec<_>>(), ["n2"]);
    lacks(&n2, "Vault", "n1", "it does not have the role storage").await;
}

#[tokio::test]
async fn a_label_that_is_out_of_range_keeps_the_node_from_starting() {
    let town = Town::new();
    let error = town
        .node("n1")
        .label("disk", "")
        .start()
        .await
        .expect_err("refused");
    assert_eq!(error.code(), Code::ConfigInvalid);
    assert!(error.to_string().contains("label"), "{error}");
    let error = town
        .node("n1")
        .weight(0)
        .start()
        .await
        .expect_err("refused");
    assert!(error.to_string().contains("1 to 10000"), "{error}");
}
