//! Every error of a call that can occur without a control plane, each well before the deadline.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{CallLimits, Code, Ran, net::Config, prelude::*};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use crate::support::{DEADLINE, SOON, Town, code, eventually, quick, soon};

#[derive(Clone, Default)]
pub struct Gate {
    opened: Arc<Semaphore2>,
    started: Arc<AtomicU32>,
    runs: Arc<AtomicU32>,
}

pub struct Semaphore2(Semaphore);

impl Default for Semaphore2 {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

#[derive(Actor)]
#[actor(mailbox = 2, backoff = "10ms..20ms", intensity = "2 in 1m")]
pub struct Worker {
    gate: Gate,
}

#[handlers]
impl Worker {
    pub async fn wait(&mut self) -> u32 {
        self.gate.started.fetch_add(1, Ordering::SeqCst);
        let _ = self
            .gate
            .opened
            .0
            .acquire()
            .await
            .map(|permit| permit.forget());
        self.gate.runs.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn runs(&self) -> u32 {
        self.gate.runs.load(Ordering::SeqCst)
    }

    pub fn crash(&mut self) {
        panic!("on purpose");
    }

    pub fn crash_reading(&self) -> u32 {
        panic!("while reading");
    }

    pub async fn call_back(&mut self, ctx: &Ctx<Self>) -> Result<u32, CallError> {
        ctx.this().runs().await
    }

    pub async fn call_through(
        &mut self,
        other: RelayRef,
        this: WorkerRef,
    ) -> Result<u32, CallError> {
        Ok(other.relay(this).await?)
    }

    pub fn ticks(&self) -> impl Stream<Item = u32> + use<> {
        futures_util::stream::iter(0..2).chain(futures_util::stream::pending())
    }

    #[handler(abort)]
    pub async fn abortable(&mut self) {
        std::future::pending::<()>().await;
    }
}

#[derive(Default, Actor)]
pub struct Relay;

#[handlers]
impl Relay {
    pub async fn relay(&mut self, to: WorkerRef) -> Result<u32, CallError> {
        to.runs().await
    }
}

fn flat<T>(result: Result<T, HandlerError<CallError>>) -> Result<T, CallError> {
    result.map_err(CallError::from)
}

#[derive(Default, Service)]
pub struct Fragile;

#[handlers]
impl Fragile {
    pub async fn panics(&self) -> u32 {
        panic!("fragile");
    }

    pub async fn hangs(&self) -> u32 {
        std::future::pending().await
    }

    pub fn large(&self, bytes: u32) -> Vec<u8> {
        vec![7; bytes as usize]
    }

    pub async fn takes(&self, body: Vec<u8>) -> u32 {
        body.len() as u32
    }

    pub fn stream_then_panic(&self) -> impl Stream<Item = u32> + use<> {
        futures_util::stream::iter(0..3).map(|item| {
            assert!(item < 2, "the third item");
            item
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_an_error_of_its_call_and_the_queue_is_kept() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let gate = Gate::default();
    for remote in [false, true] {
        let given = gate.clone();
        let local = node.spawn_with::<Worker>(move |_| Worker {
            gate: given.clone(),
        });
        let worker = if remote { client.attach(local) } else { local };
        let crash = worker.crash().timeout(DEADLINE);
        let queued = worker.runs().timeout(DEADLINE);
        let (crashed, answered) = soon(async { tokio::join!(crash, queued) }).await;
        let error = crashed.expect_err("panicked");
        assert_eq!(error.code(), Code::Panicked);
        assert!(error.to_string().contains("on purpose"), "{error}");
        assert!(answered.is_ok(), "{answered:?}");
        assert_eq!(
            code(soon(worker.crash_reading().timeout(DEADLINE)).await),
            Code::Panicked
        );
        // The third failure within the window is one too many.
        assert_eq!(
            code(soon(worker.crash().timeout(DEADLINE)).await),
            Code::Panicked
        );
        let error = soon(worker.runs().timeout(DEADLINE))
            .await
            .expect_err("given up");
        assert_eq!(error.code(), Code::Quarantined);
        let down = soon(callboard::watch(&worker)).await;
        assert_eq!(down.reason, callboard::DownReason::Failed);
    }
    let service = client.service::<Fragile>();
    assert_eq!(code(soon(service.panics()).await), Code::NoHost);
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_mailbox_refuses_and_a_dropped_call_gives_its_place_back() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    for remote in [false, true] {
        let gate = Gate::default();
        let given = gate.clone();
        let local = node.spawn_with::<Worker>(move |_| Worker {
            gate: given.clone(),
        });
        let worker = if remote { client.attach(local) } else { local };
        let spawn_call = || tokio::spawn(worker.wait().timeout(DEADLINE));
        let running = spawn_call();
        eventually("one runs", || gate.started.load(Ordering::SeqCst) == 1).await;
        // One runs, two wait, the next is refused.
        let waiting = [spawn_call(), spawn_call(), spawn_call()];
        eventually("one is refused", || {
            waiting.iter().any(tokio::task::JoinHandle::is_finished)
        })
        .await;
        let mut refused = 0;
        let mut dropped = 0;
        for call in waiting {
            if call.is_finished() {
                assert_eq!(code(call.await.expect("joins")), Code::MailboxFull);
                refused += 1;
            } else {
                call.abort();
                dropped += 1;
            }
        }
        assert_eq!((refused, dropped), (1, 2));
        // Both places are free again, though nothing has run.
        let mut again = Vec::new();
        while again.len() < 2 {
            let call = spawn_call();
            let settled = tokio::time::timeout(Duration::from_millis(200), async {
                while !call.is_finished() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
            if settled.await.is_err() {
                again.push(call);
            }
        }
        gate.opened.0.add_permits(3);
        soon(running).await.expect("joins").expect("answered");
        for call in again {
            soon(call).await.expect("joins").expect("answered");
        }
        assert_eq!(gate.runs.load(Ordering::SeqCst), 3, "a dropped call ran");
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_would_wait_for_its_own_chain_names_it() {
    let town = Town::new();
    let one = town.node("one").start().await.expect("one");
    let two = town
        .node("two")
        .seed(one.local_addr())
        .start()
        .await
        .expect("two");
    eventually("linked", || {
        two.members().len() == 1 && one.members().len() == 1
    })
    .await;
    let worker = one.spawn_with::<Worker>(|_| Worker {
        gate: Gate::default(),
    });
    let error = flat(soon(worker.call_back().timeout(DEADLINE)).await).expect_err("a cycle");
    assert_eq!(error.code(), Code::CallCycle);
    for relay in [one.spawn::<Relay>(), one.attach(two.spawn::<Relay>())] {
        let call = worker.call_through(relay, worker.clone()).timeout(DEADLINE);
        let error = flat(soon(call).await).expect_err("a cycle");
        assert_eq!(error.code(), Code::CallCycle, "{error}");
        assert_eq!(error.detail().matches(" waits for ").count(), 2, "{error}");
        assert!(
            error.detail().contains("Relay@") && error.detail().contains("Worker@"),
            "{error}"
        );
    }
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_end_calls_here_and_there() {
    let town = Town::new();
    let node = town
        .node("n1")
        .host::<Fragile>()
        .start()
        .await
        .expect("starts");
    let client = town.client(node.local_addr()).await;
    for fragile in [node.service::<Fragile>(), client.service::<Fragile>()] {
        let begun = Instant::now();
        let error = fragile
            .hangs()
            .timeout(Duration::from_millis(100))
            .await
            .expect_err("late");
        assert_eq!(
            (error.code(), error.ran()),
            (Code::DeadlineExceeded, Ran::MayHaveRun)
        );
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert!(begun.elapsed() < SOON);
        let error = soon(fragile.panics()).await.expect_err("a panic");
        assert_eq!(error.code(), Code::Panicked);
        assert!(error.detail().ends_with("; the service goes on"), "{error}");
        let items = soon(fragile.stream_then_panic()).await.expect("a stream");
        let items: Vec<_> = items.collect().await;
        assert_eq!(items.len(), 3);
        assert_eq!(code(items[2].clone()), Code::Panicked);
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_and_replies_over_the_cap_are_refused_by_name() {
    let town = Town::new();
    let node = town
        .node("n1")
        .host::<Fragile>()
        .start()
        .await
        .expect("starts");
    let mut config: Config = quick();
    config.limits.body_bytes_max = 1 << 20;
    let identity = town.identity("small", callboard::net::PeerKind::Client);
    let client = Client::builder()
        .identity(identity)
        .config(config)
        .seed(node.local_addr())
        .connect()
        .await
        .expect("connects");
    let fragile = client.service::<Fragile>();
    let error = soon(fragile.takes(vec![0; 2 << 20]).timeout(DEADLINE))
        .await
        .expect_err("large");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::BodyTooLarge, Ran::NotSent)
    );
    let reply = soon(fragile.large(2 << 20).timeout(DEADLINE)).await;
    assert_eq!(code(reply), Code::ReplyTooLarge);
    // Exactly the cap, with the length of the vector in front.
    let most = (1 << 20) - 3;
    let taken = soon(fragile.takes(vec![0; most]).timeout(DEADLINE)).await;
    assert_eq!(taken, Ok(most as u32));
    let reply = soon(fragile.large(most as u32).timeout(DEADLINE)).await;
    assert_eq!(reply.map(|body| body.len()), Ok(most));
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_actor_and_a_stopped_node_say_so() {
    let town = Town::new();
    let node = town
        .node("n1")
        .host::<Fragile>()
        .start()
        .await
        .expect("starts");
    let client = town.client(node.local_addr()).await;
    let local = node.spawn_with::<Worker>(|_| Worker {
        gate: Gate::default(),
    });
    let remote = client.attach(local.clone());
    let mut watched = Box::pin(callboard::watch(&remote));
    // It has begun BEFORE the call, which comes behind it on the lane.
    let early = tokio::select! {
        biased;
        down = &mut watched => Some(down),
        () = std::future::ready(()) => None,
    };
    assert!(early.is_none());
    assert!(remote.runs().await.is_ok());
    assert!(node.stop_actor(&local, SOON).await);
    assert_eq!(soon(watched).await.reason, callboard::DownReason::Stopped);
    assert_eq!(
        code(soon(local.runs().timeout(DEADLINE)).await),
        Code::ActorStopped
    );
    let gone = soon(remote.runs().timeout(DEADLINE)).await;
    let gone = gone.expect_err("it was stopped");
    assert_eq!(gone.code(), Code::ActorGone);
    assert_eq!(gone.subject(), "method Worker/runs on node n1");
    assert!(gone.detail().starts_with("actor "), "{gone}");
    assert_eq!(
        soon(callboard::watch(&remote)).await.reason,
        callboard::DownReason::Gone
    );

    let other = node.spawn_with::<Worker>(|_| Worker {
        gate: Gate::default(),
    });
    let other = client.attach(other);
    let watched = tokio::spawn({
        let other = other.clone();
        async move { callboard::watch(&other).await }
    });
    assert!(other.runs().await.is_ok());
    let fragile = client.service::<Fragile>();
    let hanging = tokio::spawn(fragile.hangs().timeout(DEADLINE));
    eventually("the call runs", || {
        node.metrics()
            .contains("callboard_mailbox_wait_seconds_count{actor=\"Fragile\"} 1")
    })
    .await;
    drop(node);
    let error = soon(hanging).await.expect("joins").expect_err("lost");
    // A node that is dropped may still say why before its link is lost.
    assert!(
        matches!(error.code(), Code::PeerLost | Code::TurnAborted),
        "{error}"
    );
    assert_eq!(error.ran(), Ran::MayHaveRun);
    let down = soon(watched).await.expect("joins").reason;
    assert!(matches!(
        down,
        callboard::DownReason::NodeLost | callboard::DownReason::Stopped
    ));
    eventually("the link is gone", || client.members().is_empty()).await;
    assert_eq!(
        code(soon(other.runs().timeout(DEADLINE)).await),
        Code::PeerUnreachable
    );
    assert_eq!(
        code(soon(fragile.hangs().timeout(DEADLINE)).await),
        Code::NoHost
    );
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_calls_in_flight_are_refused() {
    let town = Town::new();
    let node = town
        .node("n1")
        .host::<Fragile>()
        .start()
        .await
        .expect("starts");
    let mut limits = CallLimits::default();
    limits.in_flight_max = 2;
    limits.attempts_max = 1;
    let client = Client::builder()
        .identity(town.identity("few", callboard::net::PeerKind::Client))
        .call_limits(limits)
        .seed(node.local_addr())
        .connect()
        .await
        .expect("connects");
    let fragile = client.service::<Fragile>();
    let calls: Vec<_> = (0..3)
        .map(|_| tokio::spawn(fragile.hangs().timeout(DEADLINE)))
        .collect();
    eventually("one is refused", || {
        calls.iter().any(tokio::task::JoinHandle::is_finished)
    })
    .await;
    for call in calls {
        if call.is_finished() {
            assert_eq!(code(call.await.expect("joins")), Code::TooManyInFlight);
        } else {
            call.abort();
        }
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aborted_turn_ends_the_incarnation() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let made = Arc::new(AtomicU32::new(0));
    let counted = made.clone();
    let worker = node.spawn_with::<Worker>(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Worker {
            gate: Gate::default(),
        }
    });
    // More often than the restart intensity allows: dropping a call is no failure of the actor.
    for _ in 0..4 {
        let call = worker.abortable().timeout(DEADLINE);
        assert!(
            tokio::time::timeout(Duration::from_millis(50), call)
                .await
                .is_err()
        );
    }
    assert_eq!(soon(worker.runs().timeout(DEADLINE)).await, Ok(0));
    assert_eq!(made.load(Ordering::SeqCst), 5);
    node.stop().await;
}

#[derive(Default, Service)]
#[service(mailbox = 1, concurrency = 1)]
pub struct Narrow;

#[handlers]
impl Narrow {
    pub async fn hang(&self) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_service_of_the_own_node_says_that_it_is_full() {
    let town = Town::new();
    let node = town
        .node("n1")
        .host::<Narrow>()
        .start()
        .await
        .expect("starts");
    let narrow = node.service::<Narrow>();
    // One runs, one waits, and the third is refused.
    let calls: Vec<_> = (0..3)
        .map(|_| tokio::spawn(narrow.hang().timeout(DEADLINE)))
        .collect();
    eventually("one is refused", || {
        calls.iter().any(tokio::task::JoinHandle::is_finished)
    })
    .await;
    for call in calls {
        if call.is_finished() {
            assert_eq!(code(call.await.expect("joins")), Code::MailboxFull);
        } else {
            call.abort();
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_call_ends_when_its_node_is_dropped() {
    let town = Town::new();
    let node = town
        .node("n1")
        .host::<Fragile>()
        .start()
        .await
        .expect("starts");
    let worker = node.spawn_with::<Worker>(|_| Worker {
        gate: Gate::default(),
    });
    let calls = [
        tokio::spawn(node.service::<Fragile>().hangs().timeout(DEADLINE)),
        tokio::spawn(worker.wait().timeout(DEADLINE)),
    ];
    eventually("both are in flight", || {
        let text = node.metrics();
        text.contains("in_flight{method=\"Fragile/hangs\"} 1")
            && text.contains("in_flight{method=\"Worker/wait\"} 1")
    })
    .await;
    drop(node);
    for call in calls {
        assert!(soon(call).await.expect("joins").is_err());
    }
}

#[tokio::test]
async fn a_certificate_of_the_other_kind_starts_nothing() {
    let town = Town::new();
    let client = town.identity("c1", callboard::net::PeerKind::Client);
    let error = Node::builder()
        .identity(client)
        .start()
        .await
        .expect_err("a client's");
    assert_eq!(error.code(), Code::CertificateInvalid);
    assert!(
        error.detail().contains("spiffe://test/node/<name>"),
        "{error}"
    );
    let node = town.identity("n1", callboard::net::PeerKind::Node);
    let seed = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let connecting = Client::builder().identity(node).seed(seed).connect();
    let error = connecting.await.expect_err("a node's");
    assert_eq!(error.code(), Code::CertificateInvalid);
}

#[derive(Default, Actor)]
pub struct Hop;

#[handlers]
impl Hop {
    /// Passes through the others, the last one first.
    pub async fn hop(&mut self, mut others: Vec<HopRef>) -> Result<u32, CallError> {
        match others.pop() {
            Some(next) => Ok(1 + next.hop(others).await?),
            None => Ok(1),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_calls_has_an_end() {
    let town = Town::new();
    let one = town.node("one").start().await.expect("one");
    let two = town.node("two").seed(one.local_addr()).start();
    let two = two.await.expect("two");
    eventually("linked", || {
        two.members().len() == 1 && one.members().len() == 1
    })
    .await;
    // Every other hop is to the other node.
    let hops = |count: usize| -> Vec<HopRef> {
        (0..count)
            .map(|hop| [&one, &two][hop % 2].spawn::<Hop>())
            .map(|hop| one.attach(hop))
            .collect()
    };
    // 16 actors may wait for a 17th, as the header of a call has room for.
    let first = one.spawn::<Hop>();
    let passed = soon(first.hop(hops(16)).timeout(DEADLINE)).await;
    assert_eq!(flat(passed), Ok(17));
    let first = one.spawn::<Hop>();
    let error = flat(soon(first.hop(hops(17)).timeout(DEADLINE)).await).expect_err("too long");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::ChainTooLong, Ran::NotSent),
        "{error}"
    );
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_actor_stops_breaks() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    for remote in [false, true] {
        let local = node.spawn_with::<Worker>(|_| Worker {
            gate: Gate::default(),
        });
        let worker = if remote {
            client.attach(local.clone())
        } else {
            local.clone()
        };
        let mut ticks = soon(worker.ticks().timeout(DEADLINE))
            .await
            .expect("a stream");
        assert_eq!(soon(ticks.next()).await, Some(Ok(0)));
        assert_eq!(soon(ticks.next()).await, Some(Ok(1)));
        assert!(node.stop_actor(&local, SOON).await);
        let error = soon(ticks.next()).await.expect("an item").expect_err("cut");
        assert_eq!(error.code(), Code::StreamBroken, "{error}");
        assert!(soon(ticks.next()).await.is_none());
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_refuses_new_calls_and_answers_the_old_ones() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let gate = Gate::default();
    let given = gate.clone();
    let worker = client.attach(node.spawn_with::<Worker>(move |_| Worker {
        gate: given.clone(),
    }));
    let running = tokio::spawn(worker.wait().timeout(DEADLINE));
    eventually("it runs", || gate.started.load(Ordering::SeqCst) == 1).await;
    let stopping = tokio::spawn(node.stop());
    let mut refused = None;
    // Until the node has begun to stop it takes calls; they wait behind the first.
    while refused.is_none() {
        let call = worker.runs().timeout(Duration::from_millis(20)).await;
        refused = call
            .err()
            .map(|error| error.code())
            .filter(|code| *code != Code::DeadlineExceeded);
    }
    assert_eq!(refused, Some(Code::NodeStopping));
    gate.opened.0.add_permits(1);
    assert_eq!(soon(running).await.expect("joins"), Ok(1));
    soon(stopping).await.expect("joins");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_that_ends_in_the_queue_is_told_from_one_that_ends_in_a_turn() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let gate = Gate::default();
    let given = gate.clone();
    let local = node.spawn_with::<Worker>(move |_| Worker {
        gate: given.clone(),
    });
    let worker = client.attach(local.clone());
    let running = tokio::spawn(worker.wait().timeout(DEADLINE));
    eventually("it runs", || gate.started.load(Ordering::SeqCst) == 1).await;
    // A call of the same node is taken out of the queue: it has not run.
    let error = local.runs().timeout(Duration::from_millis(20)).await;
    let error = error.expect_err("late");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::DeadlineBeforeSend, Ran::NotSent)
    );
    // One whose deadline has come when it is made does not leave.
    let error = worker.runs().timeout(Duration::ZERO).await;
    let error = error.expect_err("late");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::DeadlineBeforeSend, Ran::NotSent)
    );
    // Nobody waits for a send, so the host looks at its deadline when its turn comes.
    let sent = worker.runs().timeout(Duration::from_millis(20)).send();
    assert_eq!(sent.await, Ok(()));
    let later = worker.runs().timeout(Duration::from_millis(100)).await;
    assert_eq!(code(later), Code::DeadlineExceeded);
    gate.opened.0.add_permits(1);
    assert_eq!(soon(running).await.expect("joins"), Ok(1));
    // The call may have expired there too, before the word came that nobody waits for it.
    let expired = Code::ExpiredInQueue.text();
    eventually("the send is refused", || {
        let text = node.metrics();
        text.contains(&format!(
            "callboard_sends_refused_total{{code=\"{expired}\"}} 1"
        )) && text.contains(&format!(
            "callboard_served_errors_total{{method=\"Worker/runs\",code=\"{expired}\"}} "
        ))
    })
    .await;
    client.close().await;
    node.stop().await;
}
