//! Sends to keyed actors whose slots move: they run at the next owner, in order and once.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{
    Actor, CallError, CallLimits, Client, Ctx, Node, NodeName, Wire, handlers, net::PeerKind,
};
use callboard_protocol::{id::NodeId, slots::SlotCount};
use futures_util::future::join_all;
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    followed::Place,
    support::{DEADLINE, connect, eventually},
};

/// Takes in numbered letters, and tells which came out of their order.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover)]
pub struct Letterbox {
    last: BTreeMap<u32, u64>,
    torn: Vec<String>,
}

#[handlers]
impl Letterbox {
    pub async fn put(&mut self, sender: u32, number: u64) {
        // Longer than a sender takes, so that some always wait.
        tokio::time::sleep(Duration::from_micros(300)).await;
        let last = self.last.entry(sender).or_default();
        if number != *last + 1 {
            self.torn.push(format!("{number} of {sender} after {last}"));
        }
        *last = number;
    }

    #[handler(idempotent)]
    pub fn last(&self, sender: u32) -> Result<u64, String> {
        match &self.torn[..] {
            [] => Ok(self.last.get(&sender).copied().unwrap_or_default()),
            torn => Err(torn.join(", ")),
        }
    }

    #[handler(idempotent)]
    pub fn home(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }
}

/// Sends letters to one box without a pause, until it is told to end; returns how many.
fn produce(
    letterbox: LetterboxRef,
    sender: u32,
    over: Arc<AtomicBool>,
) -> JoinHandle<Result<u64, CallError>> {
    tokio::spawn(async move {
        let mut number = 0;
        while !over.load(Ordering::Relaxed) {
            for _ in 0..32 {
                number += 1;
                letterbox
                    .put(sender, number)
                    .timeout(DEADLINE)
                    .send()
                    .await?;
            }
            // What was called after them finds all of them.
            let last = letterbox.last(sender).timeout(DEADLINE).await;
            let last = last.map_err(|error| panic!("{error}"));
            assert_eq!(last, Ok(number), "of {sender}");
        }
        Ok(number)
    })
}

/// Returns a counter of a node, all labels together.
fn count(node: &Node, counter: &str) -> u64 {
    let metrics = node.metrics();
    let lines = metrics.lines().filter(|it| it.starts_with(counter));
    let counts = lines.filter_map(|it| it.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

const KEYS: u32 = 12;

async fn boxes_at(client: &Client, name: &str) -> usize {
    let calls = (0..KEYS).map(|key| async move {
        let letterbox = client.actor::<Letterbox>(format!("k{key}"));
        letterbox.home().timeout(DEADLINE).await.expect("answers")
    });
    let homes = join_all(calls).await;
    homes.iter().filter(|home| *home == name).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_are_sent_while_nodes_are_drained_all_arrive_once_and_in_order() {
    let place = Place::new();
    let mut nodes: Vec<Node> = Vec::new();
    for number in 1..=3 {
        let seeds: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
        let node = place.node(&format!("n{number}"), &seeds);
        // So few that a drain takes no longer than what runs meanwhile needs.
        let node = node.slots(SlotCount::new(64).expect("a power of two"));
        let node = node.host::<Letterbox>().bootstrap_expect(3).start().await;
        nodes.push(node.expect("starts"));
    }
    for node in &nodes {
        node.joined(DEADLINE).await.expect("a member");
    }
    let addrs: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
    let caller = place.town.node("caller").seeds(addrs.clone()).start().await;
    let caller = caller.expect("starts");
    caller.joined(DEADLINE).await.expect("a member");
    let client = place.town.client(addrs[1]).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut producers = Vec::new();
    for key in 0..KEYS {
        let key = format!("k{key}");
        // A client, a node that owns nothing, and one that owns some of them.
        let boxes = [
            client.actor::<Letterbox>(&*key),
            caller.actor::<Letterbox>(&*key),
            nodes[2].actor::<Letterbox>(&*key),
        ];
        for (letterbox, sender) in boxes.into_iter().zip(1..) {
            producers.push(produce(letterbox, sender, over.clone()));
        }
    }
    let there = boxes_at(&client, "n1").await + boxes_at(&client, "n2").await;
    assert!(there > 0, "two of three have some of {KEYS}");
    let mut forwarded = 0;
    let mut refused = 0;
    for name in ["n1", "n2"] {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let node = nodes.remove(0);
        node.drain(DEADLINE).await.expect("drained");
        assert_eq!(boxes_at(&client, name).await, 0);
        forwarded += count(&node, "callboard_sends_forwarded_total");
        refused += count(&node, "callboard_sends_refused_total");
        if name == "n1" {
            node.stop().await;
        } else {
            nodes.push(node);
        }
    }
    over.store(true, Ordering::Relaxed);
    for ended in join_all(producers).await {
        let sent = ended.expect("each finds all of its letters, in order");
        assert!(sent.expect("no send fails") > 0);
    }
    for node in nodes.iter().chain([&caller]) {
        refused += count(node, "callboard_sends_refused_total");
    }
    assert_eq!(refused, 0);
    assert!(forwarded > 0, "some waited when their slot went");
    client.close().await;
    caller.stop().await;
    for node in nodes {
        node.stop().await;
    }
}

/// What it says and where, who sent it, whether with the role, whether from where it ran, and the time left.
type Note = (String, NodeId, bool, bool, Duration);

/// The notes that have run.
#[derive(Debug, Default)]
struct Desk {
    notes: Mutex<Vec<Note>>,
    entered: Notify,
    leave: Notify,
}

/// Keeps nothing in memory that goes along.
#[derive(Actor)]
#[actor(key = String)]
pub struct Clerk(Arc<Desk>);

#[handlers]
impl Clerk {
    pub async fn hold(&mut self) {
        self.0.entered.notify_one();
        self.0.leave.notified().await;
    }

    #[handler(allow = "clerk")]
    pub fn note(&mut self, ctx: &Ctx<Self>, what: String) {
        let caller = ctx.caller().expect("it was sent");
        let note = (
            format!("{what} on {}", ctx.node_name()),
            caller.node,
            caller.has_role("clerk"),
            caller.is_local(),
            ctx.time_left().expect("it has a deadline"),
        );
        self.0.notes.lock().expect("whole").push(note);
    }

    #[handler(idempotent)]
    pub fn home(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_went_along_has_its_caller_its_rights_and_the_rest_of_its_time() {
    let place = Place::new();
    let desk = Arc::<Desk>::default();
    let mut nodes: Vec<Node> = Vec::new();
    for number in 1..=2 {
        let seeds: Vec<SocketAddr> = nodes.iter().map(Node::local_addr).collect();
        let desk = desk.clone();
        let node = place.node(&format!("n{number}"), &seeds);
        let node = node.host_with::<Clerk>(move |_| Clerk(desk.clone()));
        let mut limits = CallLimits::default();
        limits.turn_limit = DEADLINE;
        let node = node.call_limits(limits);
        // So few that all others have gone long before the move of the held one is given up, after two leases.
        let node = node.slots(SlotCount::new(8).expect("a power of two"));
        let node = node.bootstrap_expect(2).start().await;
        nodes.push(node.expect("starts"));
    }
    for node in &nodes {
        node.joined(DEADLINE).await.expect("a member");
    }
    let identity = place.town.with_roles("boss", PeerKind::Client, &["clerk"]);
    let boss = connect(identity, nodes[0].local_addr()).await;
    let mut keys = (0..).map(|key| format!("k{key}"));
    let key = loop {
        let key = keys.next().expect("endless");
        let home = boss.actor::<Clerk>(&*key).home().timeout(DEADLINE).await;
        if home.expect("answers") == "n1" {
            break key;
        }
    };
    let held = boss.actor::<Clerk>(&*key);
    let held = tokio::spawn(async move { held.hold().timeout(DEADLINE).await });
    desk.entered.notified().await;
    let within = Duration::from_secs(40);
    let from = [
        (boss.actor::<Clerk>(&*key), "of a client"),
        (nodes[0].actor::<Clerk>(&*key), "of the old owner"),
        (nodes[1].actor::<Clerk>(&*key), "of the new owner"),
    ];
    for (clerk, what) in from {
        // A node may do what it likes where it is, and not elsewhere: it has no role.
        let sent = clerk.note(what).timeout(within).send().await;
        sent.expect("it is on its way");
    }
    let waits = || count(&nodes[0], "callboard_sends_refused_total") == 1;
    eventually("the note without the right is refused", waits).await;
    let wait = "callboard_mailbox_depth{actor=\"Clerk\"}";
    eventually("the others wait", || count(&nodes[0], wait) == 2).await;
    let sent_at = Instant::now();
    let mut drain = Box::pin(nodes[0].drain(DEADLINE));
    let others_have_gone = async {
        while nodes[0].draining().is_none_or(|left| left.slots > 1) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        _ = &mut drain => panic!("the turn still runs"),
        () = others_have_gone => {}
    }
    let waited = sent_at.elapsed();
    desk.leave.notify_one();
    held.await
        .expect("no panic")
        .expect("it has ended in order");
    drain.await.expect("drained");
    // Whoever came first: they are of two senders.
    let notes = || {
        let mut notes = desk.notes.lock().expect("whole").clone();
        notes.sort_unstable();
        notes
    };
    eventually("both notes have run", || notes().len() == 2).await;
    let id = |name: &str| NodeId::of(&NodeName::new(name).expect("a name"));
    let [of_client, of_old] = &notes()[..] else {
        panic!("{:?}", notes());
    };
    let what =
        |(what, node, has_role, is_local, _): &Note| (what.clone(), *node, *has_role, *is_local);
    let expected = ("of a client on n2".to_owned(), id("boss"), true, false);
    assert_eq!(what(of_client), expected);
    // It was local where it was sent, and is of a node without a role where it runs.
    let expected = ("of the old owner on n2".to_owned(), id("n1"), false, false);
    assert_eq!(what(of_old), expected);
    for (_, _, _, _, left) in [of_client, of_old] {
        assert!(*left <= within - waited, "{left:?} after {waited:?}");
        assert!(*left > within / 2, "{left:?}");
    }
    boss.close().await;
    for node in nodes {
        node.stop().await;
    }
}
