//! Keys and authorities are replaced, and peers denied, while calls run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{
    Client, Code, Node,
    net::{Authority, DenyList, Identity, PeerKind},
    prelude::*,
};
use tokio::task::JoinSet;

use crate::support::{DEADLINE, Town, connect, eventually, quick, soon};

/// In this time the links of those who are put on the list are closed and their calls have ended, as
/// the page on security says. Where the machine is not busy it takes milliseconds.
const DENIED_WITHIN: Duration = Duration::from_secs(10);

/// How often a transfer is cut.
const ROUNDS: u32 = 12;

#[derive(Default, Service)]
pub struct Echo {
    hanging: Arc<AtomicU64>,
}

#[handlers]
impl Echo {
    /// Not idempotent: a call that fails is not made again.
    pub fn echo(&self, number: u64) -> u64 {
        number
    }

    pub async fn hangs(&self) {
        self.hanging.fetch_add(1, Ordering::Relaxed);
        std::future::pending().await
    }

    /// More than goes out at once.
    pub fn pours(&self) -> Vec<u8> {
        vec![7; 4 << 20]
    }
}

/// Callers that never stop, and what became of their calls.
struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    tasks: JoinSet<Result<(), CallError>>,
}

impl Load {
    fn start<'a>(callers: impl IntoIterator<Item = &'a EchoRef>) -> Self {
        let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut tasks = JoinSet::new();
        for echo in callers {
            let (echo, stop, calls) = (echo.clone(), stop.clone(), calls.clone());
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = calls.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(echo.echo(number).await?, number);
                }
                Ok(())
            });
        }
        Self { stop, calls, tasks }
    }

    /// Waits until some hundred calls more were made.
    async fn goes_on(&self) {
        let enough = self.calls.load(Ordering::Relaxed) + 300;
        eventually("the load goes on", || {
            self.calls.load(Ordering::Relaxed) > enough
        })
        .await;
    }

    /// Returns how many calls were made, and the errors of those that failed.
    async fn end(mut self) -> (u64, Vec<CallError>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut failed = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            failed.extend(ended.expect("no panic").err());
        }
        (self.calls.load(Ordering::Relaxed), failed)
    }
}

/// Issues identities of both authorities of a cluster.
struct Change {
    old: Town,
    new: Town,
}

impl Change {
    fn by_old(&self, name: &str, kind: PeerKind) -> Identity {
        self.old.identity(name, kind)
    }

    /// A certificate of one authority for a side that trusts both.
    fn overlapping(&self, issuer: &Town, name: &str, kind: PeerKind) -> Identity {
        let both = [&self.old, &self.new].map(|town| town.authority().certificate_pem());
        let issued = issuer.identity(name, kind);
        issued
            .trusting(both.concat().as_bytes())
            .expect("two authorities")
    }

    fn by_new(&self, name: &str, kind: PeerKind) -> Identity {
        self.new.identity(name, kind)
    }
}

async fn echoes(identity: Identity, node: &Node) {
    let client = connect(identity, node.local_addr()).await;
    assert_eq!(client.service::<Echo>().echo(7).await, Ok(7));
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_and_the_authority_are_replaced_under_load_and_no_call_fails() {
    let change = Change {
        old: Town::new(),
        new: Town::new(),
    };
    let (node, client) = (PeerKind::Node, PeerKind::Client);
    let n1 = change
        .old
        .node("n1")
        .host::<Echo>()
        .start()
        .await
        .expect("n1");
    let n2 = change
        .old
        .node("n2")
        .seed(n1.local_addr())
        .start()
        .await
        .expect("n2");
    let c1 = connect(change.by_old("c1", client), n1.local_addr()).await;
    eventually("they are linked", || n2.members().len() == 1).await;
    let (from_node, from_client) = (n2.service::<Echo>(), c1.service::<Echo>());
    let callers = [&from_node, &from_client, &from_node, &from_client];
    let load = Load::start(callers);
    let rotate = async |make: &dyn Fn(&str, PeerKind) -> Identity| {
        n1.rotate(&make("n1", node)).expect("n1 rotates");
        load.goes_on().await;
        n2.rotate(&make("n2", node)).expect("n2 rotates");
        c1.rotate(&make("c1", client)).expect("c1 rotates");
        load.goes_on().await;
    };

    // New keys of the same authority, as often as one likes.
    for _ in 0..3 {
        rotate(&|name, kind| change.by_old(name, kind)).await;
        echoes(change.by_old("c2", client), &n1).await;
    }
    // The new authority is trusted by all, then issues for all, then the old one is trusted no more.
    rotate(&|name, kind| change.overlapping(&change.old, name, kind)).await;
    echoes(change.by_old("c2", client), &n1).await;
    rotate(&|name, kind| change.overlapping(&change.new, name, kind)).await;
    echoes(change.overlapping(&change.old, "c2", client), &n1).await;
    echoes(change.by_new("c2", client), &n1).await;
    rotate(&|name, kind| change.by_new(name, kind)).await;
    echoes(change.by_new("c2", client), &n1).await;
    let late = Client::builder()
        .identity(change.overlapping(&change.old, "c3", client))
        .config(quick())
        .seed(n1.local_addr())
        .connect();
    let late = late.await.expect_err("an authority of the past");
    assert_eq!(late.code(), Code::AuthorityUnknown, "{late}");
    // A node of the new authority joins and is linked with both of old.
    let n3 = Node::builder()
        .identity(change.by_new("n3", node))
        .config(quick());
    let n3 = n3.seed(n2.local_addr()).start().await.expect("n3");
    eventually("it is linked", || n3.members().len() == 2).await;
    assert_eq!(n3.service::<Echo>().echo(1).await, Ok(1));

    load.goes_on().await;
    let (calls, failed) = load.end().await;
    assert_eq!(failed, [], "of {calls} calls");
    assert!(calls > 3000, "{calls}");
    let metrics = c1.metrics();
    for none in ["callboard_call_errors_total{", "callboard_links_refused{"] {
        assert!(!metrics.contains(none), "{metrics}");
    }
    c1.close().await;
    for node in [n3, n2, n1] {
        node.stop().await;
    }
}

/// A dialler sees which certificate it is shown: it denies one and is let in or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_after_a_rotation_shows_the_new_certificate() {
    let town = Town::new();
    let (first, second) = (
        town.identity("n1", PeerKind::Node),
        town.identity("n1", PeerKind::Node),
    );
    let prints = [&first, &second].map(|identity| identity.fingerprint().to_string());
    let node = Node::builder()
        .identity(first)
        .host::<Echo>()
        .config(quick());
    let node = node.start().await.expect("starts");
    let dial = async |denied: &str| {
        let client = Client::builder()
            .identity(town.identity("c1", PeerKind::Client))
            .config(quick())
            .deny(DenyList::of([denied]).expect("a fingerprint"))
            .seed(node.local_addr())
            .connect();
        match client.await {
            Ok(client) => {
                client.close().await;
                None
            }
            Err(error) => Some(error.code()),
        }
    };
    assert_eq!(dial(&prints[0]).await, Some(Code::PeerDenied));
    assert_eq!(dial(&prints[1]).await, None);
    node.rotate(&second).expect("rotates");
    assert_eq!(dial(&prints[0]).await, None);
    assert_eq!(dial(&prints[1]).await, Some(Code::PeerDenied));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_denied_in_the_middle_of_a_transfer_is_told_so() {
    let town = Town::new();
    let node = town.node("n1").host::<Echo>().start().await.expect("n1");
    let mut told = 0;
    for _ in 0..ROUNDS {
        let client = connect(town.identity("c1", PeerKind::Client), node.local_addr()).await;
        let echo = client.service::<Echo>();
        // One after another without a pause, so that some reply is on its way at any time.
        let poured = Arc::<AtomicU64>::default();
        let calls = [(); 3].map(|()| {
            let (echo, poured) = (echo.clone(), poured.clone());
            tokio::spawn(async move {
                loop {
                    match echo.pours().await {
                        Ok(_) => poured.fetch_add(1, Ordering::Relaxed),
                        Err(error) => return error,
                    };
                }
            })
        });
        eventually("replies come", || poured.load(Ordering::Relaxed) > 4).await;
        node.deny(DenyList::of(["c1"]).expect("a list"));
        let mut was_told = true;
        for call in calls {
            // A call that began after the link had ended has the code for its own.
            let error = soon(call).await.expect("no panic").to_string();
            was_told &= error.contains("CB2015");
        }
        told += u32::from(was_told);
        node.deny(DenyList::default());
        client.close().await;
    }
    assert_eq!(told, ROUNDS);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_identity_is_no_rotation() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let mall = Authority::throw_away("mall".parse().expect("a name")).expect("an authority");
    let elsewhere = mall.issue("n1".parse().expect("a name"), PeerKind::Node);
    for other in [
        town.identity("n2", PeerKind::Node),
        town.identity("n1", PeerKind::Client),
        elsewhere.expect("issued"),
    ] {
        let error = node.rotate(&other).expect_err("another one");
        assert_eq!(error.code(), Code::CertificateInvalid);
        assert!(
            error
                .detail()
                .ends_with("; this is spiffe://test/node/n1, and stays so while it runs")
        );
    }
    let error = client.rotate(&town.identity("c2", PeerKind::Client));
    assert_eq!(
        error.expect_err("another one").code(),
        Code::CertificateInvalid
    );
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_denied_loses_its_link_at_once_and_gets_no_other_until_the_list_is_replaced() {
    let town = Town::new();
    let begun = Arc::<AtomicU64>::default();
    let hanging = begun.clone();
    let n1 = town.node("n1").host_with(move |_: &Ctx<Echo>| Echo {
        hanging: hanging.clone(),
    });
    let n1 = n1.start().await.expect("n1");
    let stolen = town.identity("c2", PeerKind::Client);
    let fingerprint = stolen.fingerprint().to_string();
    let by_name = connect(town.identity("c1", PeerKind::Client), n1.local_addr()).await;
    let by_print = connect(stolen.clone(), n1.local_addr()).await;
    let bystander = town.client(n1.local_addr()).await;
    let n2 = town
        .node("n2")
        .seed(n1.local_addr())
        .start()
        .await
        .expect("n2");
    eventually("they are linked", || n2.members().len() == 1).await;
    let load = Load::start([&bystander.service::<Echo>()]);
    let hanging = [&by_name, &by_print].map(|client| {
        let call = client.service::<Echo>().hangs().timeout(DEADLINE);
        tokio::spawn(call)
    });
    let hangs = tokio::spawn(n2.service::<Echo>().hangs().timeout(DEADLINE));
    eventually("three calls hang", || begun.load(Ordering::Relaxed) == 3).await;

    let begun = Instant::now();
    n1.deny(DenyList::of(["c1", "n2", &fingerprint]).expect("a list"));
    for call in hanging.into_iter().chain([hangs]) {
        let error = soon(call).await.expect("no panic").expect_err("cut off");
        assert_eq!(error.code(), Code::PeerLost);
        assert!(error.detail().contains("CB2015"), "{error}");
    }
    assert!(begun.elapsed() < DENIED_WITHIN, "{:?}", begun.elapsed());
    // One name on both sides.
    let denied = "callboard_links_refused{code=\"CB2015\"}";
    for metrics in [
        n1.metrics(),
        by_name.metrics(),
        by_print.metrics(),
        n2.metrics(),
    ] {
        assert!(metrics.contains(denied), "{metrics}");
    }
    eventually("they are out", || n1.members().is_empty()).await;
    // No other is had, by whichever kind of entry.
    for identity in [town.identity("c1", PeerKind::Client), stolen] {
        let again = Client::builder().identity(identity).config(quick());
        let error = again.seed(n1.local_addr()).connect().await;
        let error = error.expect_err("denied");
        assert_eq!(error.code(), Code::PeerDenied, "{error}");
        assert!(
            error.detail().ends_with("is on the deny list of n1"),
            "{error}"
        );
    }
    // The owner of the stolen certificate comes with another one.
    echoes(town.identity("c2", PeerKind::Client), &n1).await;

    n1.deny(DenyList::default());
    let linked = |client: &Client| client.members().iter().any(|member| member.name == "n1");
    eventually("they are back", || {
        n1.members().len() == 1 && linked(&by_name) && linked(&by_print)
    })
    .await;
    assert_eq!(by_name.service::<Echo>().echo(1).await, Ok(1));
    let (_, failed) = load.end().await;
    assert_eq!(failed, [], "a bystander's calls");
    for client in [by_name, by_print, bystander] {
        client.close().await;
    }
    n2.stop().await;
    n1.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_given_at_the_start_holds_from_the_first_handshake() {
    let town = Town::new();
    let list = DenyList::of(["n2"]).expect("a list");
    let n1 = town.node("n1").deny(list).start().await.expect("n1");
    let n2 = town
        .node("n2")
        .seed(n1.local_addr())
        .start()
        .await
        .expect("n2");
    let denied = "callboard_links_refused{code=\"CB2015\"}";
    eventually("it was refused", || n2.metrics().contains(denied)).await;
    assert!(n1.members().is_empty() && n2.members().is_empty());
    n2.stop().await;
    n1.stop().await;
}
