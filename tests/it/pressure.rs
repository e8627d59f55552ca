//! A peer that reads slowly: what waits for it is bounded, what was taken is not lost, and what
//! found no room says so and was not sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use callboard::{
    CallLimits, Code, Ran,
    net::{Config, PeerKind},
    prelude::*,
};

use tokio::sync::Semaphore;

use crate::support::{DEADLINE, Strait, Town, eventually, quick, soon};

#[derive(Clone, Default, Service)]
pub struct Drain {
    taken: Arc<AtomicU32>,
}

#[handlers]
impl Drain {
    pub async fn take(&self, body: Vec<u8>) -> usize {
        self.taken.fetch_add(1, Ordering::SeqCst);
        body.len()
    }
}

/// Takes its messages one at a time, and lets few wait.
#[derive(Default, Actor)]
#[actor(mailbox = 4)]
pub struct Ledger {
    numbers: Vec<u32>,
}

#[handlers]
impl Ledger {
    pub async fn write(&mut self, number: u32, _padding: Vec<u8>) {
        if number.is_multiple_of(64) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.numbers.push(number);
    }

    pub fn numbers(&self) -> Vec<u32> {
        self.numbers.clone()
    }
}

#[derive(Default, Service)]
pub struct Clerk;

#[handlers]
impl Clerk {
    pub fn open(&self, ctx: &Ctx<Self>) -> LedgerRef {
        ctx.spawn::<Ledger>()
    }
}

/// Its first turn waits until it is let go on.
#[derive(Actor)]
#[actor(mailbox = 1)]
pub struct Gated {
    gate: Arc<Gate>,
    numbers: Vec<u32>,
}

#[derive(Debug)]
struct Gate {
    reached: AtomicU32,
    opened: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            reached: AtomicU32::new(0),
            opened: Semaphore::new(0),
        }
    }
}

#[handlers]
impl Gated {
    pub async fn write(&mut self, number: u32, _padding: Vec<u8>) {
        if self.numbers.is_empty() {
            self.gate.reached.fetch_add(1, Ordering::SeqCst);
            let opened = self.gate.opened.acquire().await;
            opened.expect("never closed").forget();
        }
        self.numbers.push(number);
    }

    pub fn numbers(&self) -> Vec<u32> {
        self.numbers.clone()
    }

    pub fn length(&self, body: Vec<u8>) -> usize {
        body.len()
    }
}

/// Says which node it is on.
#[derive(Service)]
pub struct Sign(u32);

#[handlers]
impl Sign {
    pub fn number(&self) -> u32 {
        self.0
    }
}

fn gated(node: &Node) -> (Arc<Gate>, GatedRef) {
    let gate = Arc::new(Gate::default());
    let given = gate.clone();
    let gated = node.spawn_with::<Gated>(move |_| Gated {
        gate: given.clone(),
        numbers: Vec::new(),
    });
    (gate, gated)
}

/// Little room, and patience with a network that stands still.
fn narrow() -> Config {
    let mut config = quick();
    config.peer_timeout = Duration::from_secs(30);
    config.lane_buffer_bytes_max = 16 << 10;
    config.send_window_bytes = 16 << 10;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_finds_no_room_until_its_deadline_was_not_sent_and_no_other_is_lost() {
    let town = Town::new();
    let mut strait = Strait::new().await;
    let drain = Drain::default();
    let given = drain.clone();
    let node = town
        .node("n1")
        .config(narrow())
        .advertise(strait.addr())
        .host_with::<Drain>(move |_| given.clone())
        .start()
        .await
        .expect("starts");
    strait.lead_to(node.local_addr()).await;
    let client = Client::builder()
        .identity(town.identity("client", PeerKind::Client))
        .config(narrow())
        .seed(strait.addr())
        .connect()
        .await
        .expect("connects");
    let there = client.service::<Drain>();
    let mut sent = 0;
    let wait = Duration::from_millis(200);
    strait.set_open(false);
    let error = loop {
        match there.take(vec![7; 1000]).timeout(wait).send().await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(sent < 200, "there is room for far less");
    };
    let full = (Code::SendBufferFull, Ran::NotSent);
    assert_eq!((error.code(), error.ran()), full, "{error}");
    // Behind a send that waits there is no room either, and a call is told the same.
    let (first, second, call) = tokio::join!(
        there.take(vec![7; 1000]).timeout(wait).send(),
        there.take(vec![7; 1000]).timeout(wait).send(),
        there.take(vec![7; 1000]).timeout(wait),
    );
    for error in [first.err(), second.err(), call.err()] {
        let error = error.expect("no room");
        assert_eq!((error.code(), error.ran()), full, "{error}");
    }
    assert!(client.usage().iter().all(|held| held.now <= held.most));
    // One that waits goes on when there is room again.
    let waiting = there.take(vec![7; 1000]).timeout(DEADLINE).send();
    let mut waiting = std::pin::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    strait.set_open(true);
    assert_eq!(soon(waiting).await, Ok(()));
    sent += 1;
    assert_eq!(
        soon(there.take(vec![7; 10]).timeout(DEADLINE)).await,
        Ok(10)
    );
    sent += 1;
    eventually("all have arrived", || {
        drain.taken.load(Ordering::SeqCst) >= sent
    })
    .await;
    client.close().await;
    node.stop().await;
    assert_eq!(drain.taken.load(Ordering::SeqCst), sent, "one too many");
}

/// The counters of sends that a node has refused.
fn refused(node: &Node) -> Vec<String> {
    let metrics = node.metrics();
    let lines = metrics.lines();
    let refused = lines.filter(|line| line.starts_with("callboard_sends_refused_total{"));
    refused.map(str::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_to_a_full_mailbox_wait_in_order_and_hold_up_no_other_target() {
    let town = Town::new();
    let node = town.node("n1").host::<Clerk>().start().await;
    let node = node.expect("starts");
    let client = Client::builder()
        .identity(town.identity("client", PeerKind::Client))
        .config(quick())
        .seed(node.local_addr())
        .connect()
        .await
        .expect("connects");
    let clerk = client.service::<Clerk>();
    let (slow, other) = (
        soon(clerk.open()).await.expect("opens"),
        soon(clerk.open()).await.expect("opens"),
    );
    // More bytes than may be held at once, so that the lane has to pause.
    let sent = 2_000;
    for number in 0..sent {
        let written = slow.write(number, vec![7; 4000]).timeout(DEADLINE).send();
        assert_eq!(soon(written).await, Ok(()));
        if number % 500 == 0 {
            let answer = other.numbers().timeout(DEADLINE).await;
            assert_eq!(answer, Ok(Vec::new()), "another target of the lane answers");
        }
    }
    let last = soon(async {
        loop {
            match slow.numbers().timeout(DEADLINE).await {
                Ok(numbers) if numbers.len() == sent as usize => return numbers,
                // A call is refused where a send waits.
                Ok(_) => assert_eq!(refused(&node), Vec::<String>::new()),
                Err(error) => assert_eq!(error.code(), Code::MailboxFull, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(last.await, (0..sent).collect::<Vec<_>>());
    assert_eq!(refused(&node), Vec::<String>::new());
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_is_stuck_does_not_starve_the_others_of_its_link() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let (gate, stuck) = gated(&node);
    let (_, other) = gated(&node);
    let (stuck, other) = (client.attach(stuck), client.attach(other));
    // As much as may be held: from its half on, the lane pauses.
    for number in 0..1000 {
        let written = stuck.write(number, vec![7; 4000]).timeout(DEADLINE).send();
        assert_eq!(written.await, Ok(()));
    }
    let answer = other.numbers().timeout(Duration::from_secs(10)).await;
    assert_eq!(answer, Ok(Vec::new()), "late and not lost");
    gate.opened.add_permits(1);
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_that_waits_for_room_does_not_outlive_its_link() {
    let town = Town::new();
    let node = town.node("n1").host::<Clerk>().start().await;
    let node = node.expect("starts");
    let client = town.client(node.local_addr()).await;
    let (gate, local) = gated(&node);
    let stuck = client.attach(local.clone());
    let send = async |stuck: &GatedRef, number| {
        let written = stuck.write(number, Vec::new()).timeout(DEADLINE).send();
        assert_eq!(written.await, Ok(()));
    };
    send(&stuck, 0).await;
    eventually("the first runs", || {
        gate.reached.load(Ordering::SeqCst) == 1
    })
    .await;
    for number in 1..4 {
        send(&stuck, number).await;
    }
    // Whatever was sent before has arrived when this is answered.
    assert!(soon(client.service::<Clerk>().open()).await.is_ok());
    client.close().await;
    let linked = || node.metrics().contains("peer=\"client\"");
    eventually("the link is gone", || !linked()).await;
    let again = town.client(node.local_addr()).await;
    let stuck = again.attach(local);
    send(&stuck, 4).await;
    assert!(soon(again.service::<Clerk>().open()).await.is_ok());
    gate.opened.add_permits(1);
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        match soon(stuck.numbers().timeout(DEADLINE)).await {
            Ok(written) => numbers = written,
            Err(error) => assert_eq!(error.code(), Code::MailboxFull, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(
        numbers,
        [0, 1, 4],
        "the others waited, and were lost with their link"
    );
    again.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_send_to_a_full_mailbox_keeps_no_room_of_other_bodies() {
    let town = Town::new();
    let large = vec![7; 300 << 10];
    let mut limits = CallLimits::default();
    limits.bodies_bytes_max = large.len();
    let node = town.node("n1").call_limits(limits).start().await;
    let node = node.expect("starts");
    let client = town.client(node.local_addr()).await;
    let (gate, stuck) = gated(&node);
    let (_, other) = gated(&node);
    let (stuck, other) = (client.attach(stuck), client.attach(other));
    for number in 0..3 {
        let written = stuck.write(number, large.clone()).timeout(DEADLINE).send();
        assert_eq!(soon(written).await, Ok(()));
    }
    let length = soon(other.length(large.clone()).timeout(DEADLINE)).await;
    assert_eq!(length, Ok(large.len()));
    gate.opened.add_permits(1);
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_actor_keeps_no_call_from_the_services_of_its_node() {
    let town = Town::new();
    let sign = |number| {
        town.node(&format!("n{number}"))
            .host_with::<Sign>(move |_| Sign(number))
    };
    let near = sign(1).start().await.expect("starts");
    let far = sign(2).seed(near.local_addr()).start().await;
    let far = far.expect("starts");
    let client = town.client(near.local_addr()).await;
    let signs = client.service::<Sign>();
    let number = async || soon(signs.number().timeout(DEADLINE)).await;
    while number().await != Ok(2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (gate, stuck) = gated(&near);
    let stuck = client.attach(stuck);
    // Sends: a node that owes an answer is left alone too, for as long as it says nothing.
    let runs = stuck.write(1, Vec::new()).timeout(DEADLINE).send();
    assert_eq!(soon(runs).await, Ok(()));
    eventually("it runs", || gate.reached.load(Ordering::SeqCst) == 1).await;
    // It arrives before any call below, and takes up the room.
    let waits = stuck.write(2, Vec::new()).timeout(DEADLINE).send();
    assert_eq!(soon(waits).await, Ok(()));
    let mut seen = 0;
    for _ in 0..100 {
        let error = soon(stuck.numbers().timeout(DEADLINE)).await;
        let error = error.expect_err("there is no room");
        assert_eq!(error.code(), Code::MailboxFull, "{error}");
        seen += u32::from(number().await == Ok(1));
    }
    assert!(seen > 0, "its node was left alone");
    gate.opened.add_permits(1);
    client.close().await;
    far.stop().await;
    near.stop().await;
}
