//! More calls than a node can do, from callers that do not wait for each other.
//!
//! The node is a process of its own; its turns take time and no CPU, so that its peak is known and the
//! speed of the machine decides nothing. What can be counted is demanded always. The figures are times,
//! and demanded of a machine that was quiet meanwhile, as a thread tells that does nothing but sleep;
//! the benchmark's group `overload` measures them.

use std::{
    cell::Cell,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use callboard::{Code, Node, Ran, prelude::*};
use futures_util::future::join_all;
use tokio::{sync::Notify, task::JoinSet, time::sleep};

use crate::{
    processes::{Process, run_until_the_parent_is_gone, town},
    rights::Sealed,
    support::{DEADLINE, Town, code, eventually, soon},
};

const CHILD: &str = "overload::runs_a_node_for_the_tests_of_this_file";

/// The figures that have to hold, as shares of the peak at so many times the peak.
const GOODPUT: [(u32, f64); 3] = [(2, 0.90), (5, 0.85), (10, 0.80)];
/// The slowest hundredth of the calls that are answered, as a multiple of the same while the node
/// has half as much to do as it can.
const P99_MULTIPLE: u32 = 5;
const REFUSED_WITHIN: Duration = Duration::from_millis(100);
const NORMAL_WITHIN: Duration = Duration::from_secs(2);
const GROWTH_MAX_KIB: u64 = 32 << 10;
/// A phase is measured again if its figures do not hold, so often at most.
const TRIES_MAX: u32 = 4;
/// How late one in a hundred sleeps of a millisecond may end on a machine that is quiet. Turns of 20 ms
/// that are all that late still leave the goodput that is demanded.
const LATE_MAX: Duration = Duration::from_millis(2);

// ANCHOR: desk
/// Eight turns of 20 ms beside each other: 400 calls a second.
#[derive(Default, Service)]
#[service(concurrency = 8, wait = "40ms")]
pub struct Desk;

#[handlers]
impl Desk {
    pub async fn work(&self, number: u32) -> u32 {
        sleep(Duration::from_millis(20)).await;
        number
    }
}
// ANCHOR_END: desk

/// One turn at a time, of 10 ms.
#[derive(Default, Actor)]
pub struct Clerk {
    done: u32,
}

#[handlers]
impl Clerk {
    pub async fn file(&mut self) -> u32 {
        sleep(Duration::from_millis(10)).await;
        self.done += 1;
        self.done
    }

    /// Its argument cannot be decoded.
    pub fn unseal(&mut self, _letter: Sealed) {}
}

/// One turn at a time, which ends when it is let go.
#[derive(Clone, Default, Service)]
#[service(concurrency = 1, mailbox = 1, wait = "20ms")]
pub struct Counter {
    go: Arc<Notify>,
    served: Arc<AtomicU32>,
}

#[handlers]
impl Counter {
    pub async fn serve(&self) {
        self.served.fetch_add(1, Ordering::SeqCst);
        self.go.notified().await;
    }
}

/// Not a test of its own: with the environment of this file's tests it is their node.
#[tokio::test]
async fn runs_a_node_for_the_tests_of_this_file() {
    run_until_the_parent_is_gone(|builder| builder.host::<Desk>()).await;
}

/// What became of the calls of a phase.
#[derive(Default)]
struct Ends {
    /// When each began, from the start of the phase, and how long it took.
    answered: Vec<(Duration, Duration)>,
    refused: Vec<(Duration, Duration)>,
    others: Vec<CallError>,
}

impl Ends {
    fn p99(calls: &[(Duration, Duration)]) -> Duration {
        let mut took: Vec<_> = calls.iter().map(|(_, took)| *took).collect();
        took.sort_unstable();
        took.get(took.len() * 99 / 100).copied().unwrap_or_default()
    }

    fn goodput(&self, phase: Duration) -> f64 {
        self.answered.len() as f64 / phase.as_secs_f64()
    }
}

/// Calls at a rate for a time, whatever becomes of them. Each is timed from when it was due, so that
/// a driver that comes late hides nothing.
async fn offer(desk: &DeskRef, a_second: f64, phase: Duration) -> Ends {
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    let all = (a_second * phase.as_secs_f64()) as u32;
    for number in 0..all {
        let due = Duration::from_secs_f64(f64::from(number) / a_second);
        let early = due.saturating_sub(begun.elapsed());
        if !early.is_zero() {
            sleep(early).await;
        }
        let call = desk.work(number).timeout(DEADLINE);
        calls.spawn(async move {
            let result = call.await;
            (
                due,
                begun.elapsed() - due,
                result.map(|same| assert_eq!(same, number)),
            )
        });
    }
    let mut ends = Ends::default();
    while let Some(ended) = calls.join_next().await {
        match ended.expect("the right reply") {
            (due, took, Ok(())) => ends.answered.push((due, took)),
            (due, took, Err(error)) if error.code() == Code::MailboxFull => {
                assert_eq!(error.ran(), Ran::Refused);
                ends.refused.push((due, took));
            }
            (.., Err(error)) => ends.others.push(error),
        }
    }
    ends
}

/// Calls from as many callers as keep the node busy, each waiting for its replies; returns how many a
/// second were answered, and how many were refused.
async fn peak(desk: &DeskRef, phase: Duration) -> (f64, u32) {
    let begun = Instant::now();
    let callers = (0..12).map(|_| async {
        let (mut answered, mut refused) = (0, 0);
        while begun.elapsed() < phase {
            match desk.work(0).await {
                Ok(_) => answered += 1,
                Err(error) if error.code() == Code::MailboxFull => refused += 1,
                Err(error) => panic!("{error}"),
            }
        }
        (answered, refused)
    });
    let ends: Vec<(u32, u32)> = join_all(callers).await;
    let answered: u32 = ends.iter().map(|(answered, _)| answered).sum();
    let refused = ends.iter().map(|(_, refused)| refused).sum();
    (f64::from(answered) / begun.elapsed().as_secs_f64(), refused)
}

/// Tells whether the machine had time for a thread that needs next to none.
struct Quiet {
    over: Arc<AtomicBool>,
    lateness: thread::JoinHandle<Vec<Duration>>,
}

impl Quiet {
    fn watch() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (until, tick) = (Arc::clone(&over), Duration::from_millis(1));
        let lateness = thread::spawn(move || {
            let mut late = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(tick);
                late.push(begun.elapsed().saturating_sub(tick));
            }
            late
        });
        Self { over, lateness }
    }

    fn was_quiet(self) -> bool {
        self.over.store(true, Ordering::Relaxed);
        let mut late = self.lateness.join().expect("it only sleeps");
        late.sort_unstable();
        let worst = late.get(late.len() * 99 / 100);
        worst.is_some_and(|late| *late <= LATE_MAX)
    }
}

/// Runs a phase until its figures hold, for `TRIES_MAX` times at most.
///
/// # Panics
///
/// If they never held, although the machine was quiet.
async fn until_it_holds(phase: impl AsyncFn() -> (String, bool)) {
    let mut failed_in_quiet = None;
    for _ in 0..TRIES_MAX {
        let quiet = Quiet::watch();
        let (figures, holds) = phase().await;
        let was_quiet = quiet.was_quiet();
        eprintln!(
            "{figures}, {}",
            if was_quiet { "quiet" } else { "disturbed" }
        );
        if holds {
            return;
        }
        if was_quiet {
            failed_in_quiet = Some(figures);
        }
    }
    assert_eq!(failed_in_quiet, None);
}

/// Returns what a phase at so many times the peak came to, and whether its figures hold.
fn judge(
    ends: &Ends,
    (times, share): (u32, f64),
    (peak, base): (f64, Duration),
    phase: Duration,
) -> (String, bool) {
    let (goodput, p99) = (ends.goodput(phase) / peak, Ends::p99(&ends.answered));
    let refused = Ends::p99(&ends.refused);
    let figures = format!(
        "{times} x {peak:.0} calls a second: {:.0} % answered, p99 {p99:.1?} (base {base:.1?}), \
         {} refused, p99 {refused:.1?}",
        goodput * 100.0,
        ends.refused.len(),
    );
    let is_fast = p99 <= base * P99_MULTIPLE && refused <= REFUSED_WITHIN;
    (figures, goodput >= share && is_fast)
}

/// The memory that a process has, in KiB.
fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let line = line.expect("a process has memory").trim_end_matches("kB");
    line.trim().parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_peak_costs_a_fifth_of_it_at_most_and_the_answered_calls_stay_fast() {
    let (folder, identity) = town();
    let process = Process::start(CHILD, folder.path(), "127.0.0.1:0");
    let client = Client::builder().identity(identity).seed(process.addr);
    let client = client.connect().await.expect("connects");
    let desk = client.service::<Desk>();
    let second = Duration::from_secs(1);
    // Callers that wait for their replies are not refused: no more wait than half of those served.
    let measured = Cell::new(0.0);
    until_it_holds(async || {
        let (a_second, refused) = peak(&desk, second * 2).await;
        measured.set(a_second);
        let figures = format!("peak {a_second:.0} calls a second, {refused} refused");
        (figures, refused == 0)
    })
    .await;
    let peak = measured.get();
    assert!((1.0..=420.0).contains(&peak), "{peak} calls a second");
    let base = offer(&desk, peak / 2.0, second).await;
    assert_eq!(base.others, []);
    let base = Ends::p99(&base.answered);
    let before = memory(process.child.id());

    let phase = second * 3;
    for (times, share) in GOODPUT {
        until_it_holds(async || {
            let ends = offer(&desk, peak * f64::from(times), phase).await;
            assert_eq!(ends.others, [], "{times} x {peak}");
            assert!(!ends.answered.is_empty() && !ends.refused.is_empty());
            judge(&ends, (times, share), (peak, base), phase)
        })
        .await;
    }
    let grown = memory(process.child.id()).saturating_sub(before);
    assert!(grown <= GROWTH_MAX_KIB, "{grown} KiB more");
    assert!(client.usage().iter().all(|held| held.now <= held.most));

    // The load drops to half of the peak: soon no call is refused or slow any more.
    until_it_holds(async || {
        offer(&desk, peak * 10.0, second).await;
        let ends = offer(&desk, peak / 2.0, phase).await;
        assert_eq!(ends.others, []);
        let slow = ends.answered.iter().filter(|(_, took)| *took > base * 2);
        let abnormal = slow.chain(&ends.refused).map(|(due, _)| *due);
        let late = abnormal.filter(|due| *due > NORMAL_WITHIN).count();
        let figures = format!("{late} abnormal calls 2 s after the load dropped");
        (figures, late <= ends.answered.len() / 100)
    })
    .await;
    client.close().await;
}

/// Says how often a method's calls ended with a full mailbox, as the node's metrics have it.
fn refused_of(node: &Node, method: &str) -> u32 {
    let series = format!("callboard_served_errors_total{{method=\"{method}\",code=\"CB1013\"}} ");
    let text = node.metrics();
    let value = text.lines().find_map(|line| line.strip_prefix(&series));
    value.map_or(0, |value| value.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_would_wait_for_more_than_half_of_its_time_is_refused_at_once_and_unread() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    for remote in [false, true] {
        let local = node.spawn::<Clerk>();
        let clerk = if remote { client.attach(local) } else { local };
        let before = refused_of(&node, "Clerk/file");
        let mut queue = JoinSet::new();
        for _ in 0..300 {
            queue.spawn(clerk.file().timeout(DEADLINE));
        }
        // Once some were done it is known how long one takes.
        for _ in 0..60 {
            queue
                .join_next()
                .await
                .expect("three hundred")
                .expect("no panic")
                .expect("done");
        }
        let begun = Instant::now();
        let hasty = Duration::from_millis(400);
        let error = clerk
            .file()
            .timeout(hasty)
            .await
            .expect_err("more than two seconds of wait");
        assert_eq!(
            (error.code(), error.ran()),
            (Code::MailboxFull, Ran::Refused),
            "{error}"
        );
        assert!(error.detail().ends_with("and may be 200ms"), "{error}");
        assert!(begun.elapsed() < hasty, "after {:?}", begun.elapsed());
        assert_eq!(refused_of(&node, "Clerk/file"), before + 1);
        if remote {
            let unseal = clerk.unseal(Sealed::new(7)).timeout(hasty).await;
            assert_eq!(code(unseal), Code::MailboxFull, "it was read");
            let unseal = clerk.unseal(Sealed::new(7)).timeout(DEADLINE).await;
            assert_eq!(code(unseal), Code::BodyUndecodable);
        }
        // Who has time waits, and so does a send.
        clerk.file().timeout(hasty).send().await.expect("taken");
        assert!(soon(clerk.file().timeout(DEADLINE)).await.is_ok());
        queue.shutdown().await;
    }
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_has_waited_for_longer_than_it_may_does_not_run() {
    let town = Town::new();
    let counter = Counter::default();
    let given = counter.clone();
    let node = town.node("n1").host_with::<Counter>(move |_| given.clone());
    let node = node.start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let there = client.service::<Counter>();
    let served = || counter.served.load(Ordering::SeqCst);
    let first = tokio::spawn(there.serve().timeout(DEADLINE));
    eventually("the first runs", || served() == 1).await;
    let second = tokio::spawn(there.serve().timeout(DEADLINE));
    let metrics = || node.metrics();
    eventually("the second waits", || {
        metrics().contains("callboard_mailbox_depth{actor=\"Counter\"} 1")
    })
    .await;
    // Above the 20 ms that it may wait.
    sleep(Duration::from_millis(50)).await;
    counter.go.notify_one();
    assert_eq!(soon(first).await.expect("no panic"), Ok(()));
    let error = soon(second).await.expect("no panic").expect_err("too late");
    assert_eq!(
        (error.code(), error.ran()),
        (Code::MailboxFull, Ran::Refused),
        "{error}"
    );
    assert!(error.detail().ends_with("and may be 20ms"), "{error}");
    assert_eq!((served(), refused_of(&node, "Counter/serve")), (1, 1));
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_call_goes_once_to_every_host_that_has_not_refused_it() {
    let town = Town::new();
    let counters = [(); 3].map(|()| Counter::default());
    let mut nodes = Vec::new();
    for (name, counter) in ["n1", "n2", "n3"].into_iter().zip(&counters) {
        let given = counter.clone();
        let node = town.node(name).host_with::<Counter>(move |_| given.clone());
        let node = match nodes.first() {
            Some(first) => node.seed(Node::local_addr(first)),
            None => node,
        };
        nodes.push(node.start().await.expect("starts"));
    }
    let client = town.client(nodes[0].local_addr()).await;
    eventually("all are linked", || client.members().len() == 3).await;
    let there = client.service::<Counter>();
    let mut held = JoinSet::new();
    // Each host runs one and lets one wait, whichever is asked first. The next call comes when all are
    // there: one that has not begun yet takes the place of one that waits.
    let waits = "callboard_mailbox_depth{actor=\"Counter\"} 1";
    for filled in 1..=6 {
        held.spawn(there.serve().timeout(DEADLINE));
        let are_held = || {
            let hosts = nodes.iter().zip(&counters).map(|(node, counter)| {
                let waiting = u32::from(node.metrics().contains(waits));
                (counter.served.load(Ordering::SeqCst), waiting)
            });
            let hosts: Vec<_> = hosts.collect();
            let all: u32 = hosts.iter().map(|(run, waiting)| run + waiting).sum();
            all == filled && hosts.iter().all(|(run, waiting)| waiting <= run)
        };
        eventually(&format!("{filled} are held"), are_held).await;
    }
    let refusals = || {
        nodes
            .iter()
            .map(|node| refused_of(node, "Counter/serve"))
            .sum::<u32>()
    };
    let before = refusals();
    let error = soon(there.serve().timeout(DEADLINE))
        .await
        .expect_err("no room");
    assert_eq!(error.code(), Code::MailboxFull, "{error}");
    assert_eq!(refusals() - before, 3, "once each");
    held.shutdown().await;
    client.close().await;
    for node in nodes {
        node.stop().await;
    }
}

/// The calls that nobody has room for, and the retries that they are allowed: a fifth of them, and ten
/// for each second of the window.
const REFUSED: u32 = 1000;
const RETRIED_MAX: u32 = REFUSED / 5 + 10 * 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_end_with_their_budget_when_most_calls_are_refused() {
    let town = Town::new();
    let counters = [(); 2].map(|()| Counter::default());
    let mut nodes = Vec::new();
    for (name, counter) in ["n1", "n2"].into_iter().zip(&counters) {
        let given = counter.clone();
        let node = town.node(name).host_with::<Counter>(move |_| given.clone());
        let node = match nodes.first() {
            Some(first) => node.seed(Node::local_addr(first)),
            None => node,
        };
        nodes.push(node.start().await.expect("starts"));
    }
    let client = town.client(nodes[0].local_addr()).await;
    eventually("all are linked", || client.members().len() == 2).await;
    let there = client.service::<Counter>();
    let mut held = JoinSet::new();
    let waits = "callboard_mailbox_depth{actor=\"Counter\"} 1";
    for filled in 1..=4 {
        held.spawn(there.serve().timeout(DEADLINE));
        let are_held = || {
            let hosts = nodes.iter().zip(&counters).map(|(node, counter)| {
                let waiting = u32::from(node.metrics().contains(waits));
                (counter.served.load(Ordering::SeqCst), waiting)
            });
            let hosts: Vec<_> = hosts.collect();
            let all: u32 = hosts.iter().map(|(run, waiting)| run + waiting).sum();
            all == filled && hosts.iter().all(|(run, waiting)| waiting <= run)
        };
        eventually(&format!("{filled} are held"), are_held).await;
    }
    let retries = || -> u32 {
        let name = "callboard_call_retries_total{method=\"Counter/serve\"} ";
        let text = client.metrics();
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.map_or(0, |value| value.parse().expect("a number"))
    };
    let (before, begun) = (retries(), Instant::now());
    for _ in 0..REFUSED {
        let error = there.serve().timeout(DEADLINE).await;
        assert_eq!(code(error), Code::MailboxFull);
    }
    let made = retries() - before;
    let later = 10 * (begun.elapsed().as_secs() as u32 + 1);
    assert!(made > RETRIED_MAX / 2, "{made} retries");
    assert!(made <= RETRIED_MAX + later, "{made} retries");
    held.shutdown().await;
    client.close().await;
    for node in nodes {
        node.stop().await;
    }
}
