//! Actors with keys that have nothing to do: they have no task, and are found as they were left.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use callboard::{
    Actor, CallLimits, Code, Ctx, Deactivation, Node, handlers,
    prelude::{CallError, Stream},
};
use futures_util::{StreamExt, future::join_all, stream};
use tokio::runtime::Handle;

use crate::support::{DEADLINE, Town, code, eventually, soon};

/// What the tallies of a test leave.
#[derive(Debug, Default)]
struct Book {
    ends: Mutex<Vec<(u32, Deactivation, Instant)>>,
    states: AtomicU32,
}

impl Book {
    fn ends(&self) -> Vec<(u32, Deactivation)> {
        let ends = self.ends.lock().expect("whole");
        ends.iter().map(|(key, why, _)| (*key, *why)).collect()
    }
}

/// Counts. It goes after a long time.
#[derive(Actor)]
#[actor(key = u32, idle = "1h", backoff = "1ms..2ms")]
pub struct Tally {
    book: Arc<Book>,
    count: u32,
}

impl Tally {
    fn new(book: &Arc<Book>) -> Self {
        book.states.fetch_add(1, Ordering::SeqCst);
        let book = book.clone();
        Self { book, count: 0 }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.book.states.fetch_sub(1, Ordering::SeqCst);
    }
}

#[handlers]
impl Tally {
    #[handler(deactivate)]
    fn end(&mut self, ctx: &Ctx<Self>, reason: Deactivation) {
        let mut ends = self.book.ends.lock().expect("whole");
        ends.push((*ctx.key(), reason, Instant::now()));
    }

    pub fn add(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    pub fn add_later(&mut self, ctx: &Ctx<Self>, millis: u64) {
        ctx.after(Duration::from_millis(millis), |this| async move {
            let added = this.add().await;
            added.expect("it is there");
        });
    }

    #[handler(timeout = "none")]
    pub fn counts(&self) -> impl Stream<Item = u32> + use<> {
        stream::iter([self.count]).chain(stream::pending())
    }

    pub async fn hold(&self) {
        std::future::pending::<()>().await;
    }

    pub fn crash(&mut self) {
        panic!("on purpose");
    }
}

/// A tally that goes after a short time, and not so short that it keeps its task until then.
#[derive(Actor)]
#[actor(key = u32, idle = "60ms")]
pub struct Slate {
    book: Arc<Book>,
    count: u32,
    runs: AtomicBool,
}

#[handlers]
impl Slate {
    #[handler(deactivate)]
    fn end(&mut self, ctx: &Ctx<Self>, reason: Deactivation) {
        let mut ends = self.book.ends.lock().expect("whole");
        ends.push((*ctx.key(), reason, Instant::now()));
    }

    pub async fn add(&mut self) -> u32 {
        assert!(!self.runs.swap(true, Ordering::SeqCst), "two at once");
        tokio::task::yield_now().await;
        self.count += 1;
        self.runs.store(false, Ordering::SeqCst);
        self.count
    }

    #[handler(timeout = "none")]
    pub fn counts(&self) -> impl Stream<Item = u32> + use<> {
        stream::iter([self.count]).chain(stream::pending())
    }
}

/// A node that counts, and how many tasks it has at most while all of it is at rest.
async fn start(town: &Town, book: &Arc<Book>, limits: CallLimits) -> (Node, usize) {
    let (tallies, slates) = (book.clone(), book.clone());
    let node = town
        .node("n1")
        .host_with::<Tally>(move |_| Tally::new(&tallies))
        .host_with::<Slate>(move |_| Slate {
            book: slates.clone(),
            count: 0,
            runs: AtomicBool::new(false),
        })
        .call_limits(limits)
        .start()
        .await
        .expect("starts");
    // What the first call and the first rest need, all others do not.
    assert_eq!(node.actor::<Tally>(u32::MAX).add().await, Ok(1));
    let tasks = Handle::current().metrics().num_alive_tasks();
    (node, tasks + TASKS_MORE_MAX)
}

async fn add_to_all(node: &Node) -> Vec<Result<u32, CallError>> {
    let tallies = (0..KEYS).map(|key| node.actor::<Tally>(key));
    let calls = tallies.map(|tally| async move { tally.add().timeout(DEADLINE).await });
    join_all(calls).await
}

async fn at_rest(tasks: usize) {
    let metrics = Handle::current().metrics();
    eventually("all are at rest", || metrics.num_alive_tasks() <= tasks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_that_have_nothing_to_do_have_no_task_and_are_found_as_they_were_left() {
    let (town, book) = (Town::new(), Arc::default());
    let (node, tasks) = start(&town, &book, CallLimits::default()).await;
    for round in 1..=3 {
        let counts = add_to_all(&node).await;
        assert!(counts.iter().all(|it| *it == Ok(round)), "{counts:?}");
        at_rest(tasks).await;
    }
    assert_eq!(book.states.load(Ordering::SeqCst), KEYS + 1);
    assert_eq!(book.ends(), []);
    node.stop().await;
    let ends = book.ends();
    assert_eq!(ends.len(), KEYS as usize + 1);
    let stopped = |(_, why): &(u32, Deactivation)| *why == Deactivation::Stopped;
    assert!(ends.iter().all(stopped), "{ends:?}");
    assert_eq!(book.states.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_at_rest_is_stopped_as_any_other() {
    let (town, book) = (Town::new(), Arc::default());
    let (node, tasks) = start(&town, &book, CallLimits::default()).await;
    add_to_all(&node).await;
    at_rest(tasks).await;
    let tally = node.actor::<Tally>(7_u32);
    assert!(soon(node.stop_actor(&tally, DEADLINE)).await);
    assert_eq!(book.ends(), [(7, Deactivation::Stopped)]);
    assert_eq!(tally.add().await, Ok(1));
    // Without a grace it is dropped, with or without its end.
    at_rest(tasks).await;
    assert!(soon(node.stop_actor(&tally, Duration::ZERO)).await);
    assert_eq!(tally.add().await, Ok(1));
    assert_eq!(book.states.load(Ordering::SeqCst), KEYS + 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_dropped_drops_the_states_of_actors_at_rest() {
    let (town, book) = (Town::new(), Arc::default());
    let (node, tasks) = start(&town, &book, CallLimits::default()).await;
    add_to_all(&node).await;
    at_rest(tasks).await;
    drop(node);
    let states = || book.states.load(Ordering::SeqCst);
    eventually("all states are dropped", || states() == 0).await;
    let metrics = Handle::current().metrics();
    eventually("no task is left", || metrics.num_alive_tasks() == 0).await;
    assert_eq!(Arc::strong_count(&book), 1, "nothing of the node is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_has_failed_begins_anew_and_rests_again() {
    let (town, book) = (Town::new(), Arc::default());
    let (node, tasks) = start(&town, &book, CallLimits::default()).await;
    add_to_all(&node).await;
    at_rest(tasks).await;
    let tally = node.actor::<Tally>(3_u32);
    assert_eq!(code(tally.crash().await), Code::Panicked);
    assert_eq!(tally.add().timeout(DEADLINE).await, Ok(1));
    at_rest(tasks).await;
    assert_eq!(tally.add().await, Ok(2));
    assert_eq!(book.states.load(Ordering::SeqCst), KEYS + 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timers_of_an_actor_go_on_while_it_rests() {
    let (town, book) = (Town::new(), Arc::default());
    let (node, _) = start(&town, &book, CallLimits::default()).await;
    let tally = node.actor::<Tally>(1_u32);
    assert_eq!(tally.add().await, Ok(1));
    tally.add_later(60).await.expect("heard");
    // The timer's own addition is the second one, and this the one after it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(tally.add().await, Ok(3));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_at_rest_makes_room_unless_somebody_reads_from_it() {
    let (town, book) = (Town::new(), Arc::default());
    let mut limits = CallLimits::default();
    limits.activations_max = KEYS as usize + 1;
    limits.turn_limit = DEADLINE;
    let (node, tasks) = start(&town, &book, limits).await;
    add_to_all(&node).await;
    let read = node.actor::<Tally>(0_u32);
    let mut counts = read.counts().await.expect("a stream");
    assert_eq!(counts.next().await, Some(Ok(1)));
    at_rest(tasks).await;
    for new in KEYS..2 * KEYS {
        let tally = node.actor::<Tally>(new);
        let mut added = tally.add().await;
        while added.as_ref().err().map(CallError::code) == Some(Code::MailboxFull) {
            tokio::task::yield_now().await;
            added = tally.add().await;
        }
        assert_eq!(added, Ok(1));
    }
    eventually("all have ended", || book.ends().len() == KEYS as usize).await;
    let ends = book.ends();
    let fits = |(key, why): &(u32, Deactivation)| *why == Deactivation::Evicted && *key != 0;
    assert!(ends.iter().all(fits), "{ends:?}");
    assert_eq!(read.add().await, Ok(2));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_at_rest_goes_after_its_idle_time_and_not_before() {
    let (town, book) = (Town::new(), Arc::<Book>::default());
    let (node, tasks) = start(&town, &book, CallLimits::default()).await;
    let slate = node.actor::<Slate>(1_u32);
    let ended = || book.ends.lock().expect("whole").last().copied();
    for round in 1..=5 {
        assert_eq!(slate.add().await, Ok(1), "{round}");
        // It is called in the middle: the time begins anew.
        tokio::time::sleep(Duration::from_millis(25)).await;
        let before = Instant::now();
        let again = slate.add().await.expect("lives");
        eventually("it has ended", || book.ends().len() == round).await;
        let (key, why, at) = ended().expect("it has ended");
        assert_eq!((key, why), (1, Deactivation::Idle));
        // On a machine that is busy it may have ended before the second call.
        let idle = at.duration_since(before);
        assert!(again != 2 || idle >= IDLE, "it ended after {idle:?}");
        at_rest(tasks).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_somebody_reads_from_is_not_idle_at_rest() {
    let (town, book) = (Town::new(), Arc::<Book>::default());
    let (node, _) = start(&town, &book, CallLimits::default()).await;
    let slate = node.actor::<Slate>(1_u32);
    let mut counts = slate.counts().await.expect("a stream");
    assert_eq!(counts.next().await, Some(Ok(0)));
    // Five times the idle time: that nothing comes, not even an end, is the subject.
    let more = tokio::time::timeout(IDLE * 5, counts.next()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(book.ends(), []);
    drop(counts);
    eventually("it goes when nobody reads", || {
        book.ends() == [(1, Deactivation::Idle)]
    })
    .await;
    node.stop().await;
}

/// An actor gives its task up after ten milliseconds, and ends after sixty: no call is lost or answered by another state
/// in between, whenever it comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_in_the_moment_in_which_an_actor_comes_to_rest_or_ends_are_answered_in_order() {
    let (town, book) = (Town::new(), Arc::<Book>::default());
    let (node, _) = start(&town, &book, CallLimits::default()).await;
    let tally = node.actor::<Tally>(1_u32);
    let slate = node.actor::<Slate>(1_u32);
    let rests = async {
        for round in 0..400_u64 {
            let calls = (0..4).map(|_| tally.add().timeout(DEADLINE));
            for (at, count) in (1..).zip(join_all(calls).await) {
                assert_eq!(count, Ok(u32::try_from(round * 4).expect("few") + at));
            }
            tokio::time::sleep(Duration::from_micros(8_500 + round * 10)).await;
        }
    };
    let ends = async {
        let mut last = 0;
        for round in 0..100_u64 {
            let calls = (0..4).map(|_| slate.add().timeout(DEADLINE));
            for count in join_all(calls).await {
                let count = count.expect("answered");
                assert!(count == last + 1 || count == 1, "{count} after {last}");
                last = count;
            }
            tokio::time::sleep(Duration::from_micros(58_000 + round * 50)).await;
        }
    };
    tokio::join!(rests, ends);
    assert!(!book.ends().is_empty(), "it has never ended");
    node.stop().await;
}

/// Computes without an await until it is let go.
#[derive(Actor)]
#[actor(key = u32, idle = "1h")]
pub struct Abacus {
    wait: Arc<Mutex<mpsc::Receiver<()>>>,
    computes: Arc<AtomicBool>,
}

#[handlers]
impl Abacus {
    pub fn compute(&mut self) {
        self.computes.store(true, Ordering::SeqCst);
        let wait = self.wait.lock().expect("whole");
        wait.recv().expect("let go");
    }

    pub fn look(&self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_computes_does_not_hold_up_the_others_of_its_type() {
    let town = Town::new();
    let (lets_go, wait) = mpsc::channel();
    let (wait, computes) = (Arc::new(Mutex::new(wait)), Arc::new(AtomicBool::new(false)));
    let seen = computes.clone();
    let make = move |_: &Ctx<Abacus>| Abacus {
        wait: wait.clone(),
        computes: computes.clone(),
    };
    let node = town.node("n1").host_with::<Abacus>(make).start().await;
    let node = node.expect("starts");
    for key in 0..50_u32 {
        node.actor::<Abacus>(key).look().await.expect("answered");
    }
    let computing = node.actor::<Abacus>(0_u32);
    let computing = tokio::spawn(async move { computing.compute().timeout(DEADLINE).await });
    eventually("it computes", || seen.load(Ordering::SeqCst)).await;
    for key in 1..50_u32 {
        let other = node.actor::<Abacus>(key);
        soon(other.look().timeout(DEADLINE))
            .await
            .expect("answered");
    }
    lets_go.send(()).expect("it waits");
    assert_eq!(computing.await.expect("joins"), Ok(()));
    node.stop().await;
}

const KEYS: u32 = 200;

/// The idle time of a slate.
const IDLE: Duration = Duration::from_millis(60);

/// Tasks of the node itself come and go.
const TASKS_MORE_MAX: usize = 20;
