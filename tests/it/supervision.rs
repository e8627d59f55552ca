//! Supervision, children, stops, timers and turns, as a user sees them.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use callboard::{Builder, Code, DownReason, Ran, Strategy, Supervisor, prelude::*};
use futures_util::{StreamExt, future::join_all, stream};
use tokio::sync::Semaphore;
use tracing_subscriber::{Layer, layer::SubscriberExt};

use crate::support::{Logged, Town, code, eventually, hears};

const LONG: Duration = Duration::from_secs(60);

/// What a test sees of one actor from outside.
#[derive(Clone)]
pub struct Probe(Arc<Seen>);

pub struct Seen {
    name: &'static str,
    made: Mutex<Vec<Instant>>,
    started: AtomicU32,
    gate: Semaphore,
    log: Log,
}

type Log = Arc<Mutex<Vec<&'static str>>>;

impl Probe {
    fn new(name: &'static str, log: &Log) -> Self {
        Self(Arc::new(Seen {
            name,
            made: Mutex::default(),
            started: AtomicU32::new(0),
            gate: Semaphore::new(0),
            log: log.clone(),
        }))
    }

    fn made(&self) -> usize {
        self.0.made.lock().expect("made").len()
    }

    fn started(&self) -> u32 {
        self.0.started.load(SeqCst)
    }
}

/// Writes its name down when it is dropped.
struct Mark(Probe);

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.0.log.lock().expect("log").push(self.0.0.name);
    }
}

#[derive(Actor)]
#[actor(backoff = "5ms..20ms", intensity = "3 in 1m")]
pub struct Member {
    mark: Mark,
    count: u32,
}

impl Member {
    fn new(probe: &Probe) -> Self {
        probe.0.made.lock().expect("made").push(Instant::now());
        Self {
            mark: Mark(probe.clone()),
            count: 0,
        }
    }
}

#[handlers]
impl Member {
    pub fn add(&mut self) -> u32 {
        self.count += 1;
        self.count
    }

    pub async fn wait(&mut self) {
        let seen = self.mark.0.0.clone();
        seen.started.fetch_add(1, SeqCst);
        let _ = seen.gate.acquire().await.map(|permit| permit.forget());
    }

    pub fn crash(&mut self) {
        panic!("on purpose");
    }

    pub fn this(&self, ctx: &Ctx<Self>) -> MemberRef {
        ctx.this()
    }
}

fn member(group: &Supervisor, probe: &Probe) -> MemberRef {
    let probe = probe.clone();
    group.spawn_with::<Member>(move |_| Member::new(&probe))
}

fn three(group: &Supervisor) -> ([Probe; 3], [MemberRef; 3]) {
    let log = Log::default();
    let probes = ["a", "b", "c"].map(|name| Probe::new(name, &log));
    let members = [0, 1, 2].map(|index| member(group, &probes[index]));
    (probes, members)
}

/// Lets each member count to two, so that a fresh state can be told from an old one.
async fn count_to_two(members: &[MemberRef]) {
    for member in members {
        assert_eq!(member.add().await, Ok(1));
        assert_eq!(member.add().await, Ok(2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_for_one_restarts_the_one_that_failed() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let (probes, members) = three(&node.supervisor(Strategy::OneForOne));
    count_to_two(&members).await;
    assert_eq!(code(members[1].crash().await), Code::Panicked);
    assert_eq!(members[0].add().await, Ok(3));
    assert_eq!(members[1].add().await, Ok(1));
    assert_eq!(members[2].add().await, Ok(3));
    assert_eq!(probes.map(|probe| probe.made()), [1, 2, 1]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_for_all_restarts_the_siblings_and_keeps_their_queues() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let (probes, members) = three(&node.supervisor(Strategy::OneForAll));
    count_to_two(&members).await;
    let running = tokio::spawn(members[1].wait().timeout(LONG));
    eventually("it runs", || probes[1].started() == 1).await;
    let queued = tokio::spawn({
        let member = members[1].clone();
        async move { join_all((0..3).map(|_| member.add().timeout(LONG))).await }
    });
    eventually("they wait", || {
        node.metrics()
            .contains("callboard_mailbox_depth{actor=\"Member\"} 3")
    })
    .await;
    assert_eq!(code(members[0].crash().await), Code::Panicked);
    let aborted = running.await.expect("joins").expect_err("aborted");
    assert_eq!(
        (aborted.code(), aborted.ran()),
        (Code::TurnAborted, Ran::MayHaveRun)
    );
    assert_eq!(aborted.subject(), "method Member/wait on node n1");
    let why = "a sibling failed, and its supervisor starts both anew";
    assert_eq!(aborted.detail(), why);
    assert_eq!(queued.await.expect("joins"), [Ok(1), Ok(2), Ok(3)]);
    assert_eq!(members[0].add().await, Ok(1));
    assert_eq!(members[2].add().await, Ok(1));
    assert_eq!(probes.map(|probe| probe.made()), [2, 2, 2]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rest_for_one_restarts_the_younger_siblings() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let (probes, members) = three(&node.supervisor(Strategy::RestForOne));
    count_to_two(&members).await;
    assert_eq!(code(members[1].crash().await), Code::Panicked);
    assert_eq!(members[0].add().await, Ok(3));
    assert_eq!(members[1].add().await, Ok(1));
    assert_eq!(members[2].add().await, Ok(1));
    assert_eq!(probes.map(|probe| probe.made()), [1, 2, 2]);
    node.stop().await;
}

/// Counts its incarnations.
#[derive(Actor)]
#[actor(backoff = "1ms..1ms", intensity = "50 in 1m")]
pub struct Single {
    alive: Arc<AtomicU32>,
}

impl Drop for Single {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

#[handlers]
impl Single {
    pub fn touch(&mut self) {}

    pub fn crash(&mut self) {
        panic!("on purpose");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_of_a_start_leaves_one_incarnation() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    for _ in 0..20 {
        let group = node.supervisor(Strategy::OneForAll);
        let alive = Arc::new(AtomicU32::new(0));
        let single = |pause: u64| {
            let alive = alive.clone();
            group.spawn_with::<Single>(move |_| {
                // Takes its time, so that the sibling's failure finds it in the middle.
                std::thread::sleep(Duration::from_millis(pause));
                alive.fetch_add(1, SeqCst);
                let alive = alive.clone();
                Single { alive }
            })
        };
        let (quick, slow) = (single(0), single(5));
        assert_eq!(code(quick.crash().await), Code::Panicked);
        assert_eq!(quick.touch().await, Ok(()));
        assert_eq!(slow.touch().await, Ok(()));
        eventually("each has one incarnation", || alive.load(SeqCst) == 2).await;
        group.stop(LONG).await;
        eventually("each has none", || alive.load(SeqCst) == 0).await;
    }
    node.stop().await;
}

/// Collects the messages of error events.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Errors {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if *event.metadata().level() == tracing::Level::ERROR {
            struct Text(String);
            impl tracing::field::Visit for Text {
                fn record_debug(
                    &mut self,
                    field: &tracing::field::Field,
                    value: &dyn std::fmt::Debug,
                ) {
                    self.0 += &format!("{field}={value:?} ");
                }
            }
            let mut text = Text(String::new());
            event.record(&mut text);
            self.0.lock().expect("errors").push(text.0);
        }
    }
}

#[tokio::test]
async fn giving_up_is_told_to_callers_watchers_metrics_and_the_log() {
    let errors = Errors::default();
    let subscriber = tracing_subscriber::registry().with(errors.clone());
    let _guards = hears(subscriber);
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let (probes, members) = three(&node.supervisor(Strategy::OneForAll));
    let remote = client.attach(members[2].clone());
    assert_eq!(remote.add().await, Ok(1));
    let watches: Vec<_> = [&members[0], &members[1], &remote]
        .map(|member| {
            let member = member.clone();
            tokio::spawn(async move { callboard::watch(&member).await.reason })
        })
        .into();
    for _ in 0..3 {
        assert_eq!(code(members[0].crash().await), Code::Panicked);
    }
    let running = tokio::spawn(members[1].wait().timeout(LONG));
    eventually("it runs", || probes[1].started() == 1).await;
    let queued = members[1].add().timeout(LONG);
    let (crashed, queued) = tokio::join!(members[0].crash(), queued);
    assert_eq!(code(crashed), Code::Panicked);
    assert_eq!(code(queued), Code::Quarantined);
    let running = running.await.expect("joins").expect_err("aborted");
    assert_eq!(running.code(), Code::TurnAborted);
    let why = "a sibling failed too often, and both were given up";
    assert_eq!(running.detail(), why);
    for watch in watches {
        assert_eq!(watch.await.expect("joins"), DownReason::Failed);
    }
    for member in members.iter().chain([&remote]) {
        let error = member.add().await.expect_err("given up");
        assert_eq!(error.code(), Code::Quarantined);
        assert_eq!(error.ran(), Ran::Refused);
    }
    let metrics = node.metrics();
    assert!(
        metrics.contains("callboard_actors_given_up_total{actor=\"Member\"} 3"),
        "{metrics}"
    );
    assert!(
        metrics.contains("callboard_actor_restarts_total{actor=\"Member\"} 9"),
        "{metrics}"
    );
    let errors = errors.0.lock().expect("errors").clone();
    let about = |text: &str| errors.iter().filter(|error| error.contains(text)).count();
    assert_eq!(about("giving up"), 1, "{errors:?}");
    assert_eq!(about("given up with the sibling"), 2, "{errors:?}");
    client.close().await;
    node.stop().await;
}

#[derive(Actor)]
#[actor(backoff = "20ms..10s", intensity = "9 in 1m")]
pub struct Patient;

#[handlers]
impl Patient {
    pub fn crash(&mut self) {
        panic!("on purpose");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_restart_waits_longer_than_the_one_before() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let made = Arc::new(AtomicU32::new(0));
    let given = made.clone();
    let patient = node.spawn_with::<Patient>(move |_| {
        given.fetch_add(1, SeqCst);
        Patient
    });
    for restart in 0..5 {
        assert_eq!(code(patient.crash().await), Code::Panicked);
        let failed = Instant::now();
        eventually("it is restarted", || made.load(SeqCst) == restart + 2).await;
        let waited = failed.elapsed();
        let full = Duration::from_millis(20) * 2_u32.pow(restart);
        // Jitter takes away up to a half; the panic is reported a little before it is seen here.
        assert!(
            waited + Duration::from_millis(8) >= full / 2,
            "{restart}: {waited:?}"
        );
        assert!(
            waited < full + Duration::from_secs(5),
            "{restart}: {waited:?}"
        );
    }
    node.stop().await;
}

#[derive(Default, Actor)]
#[actor(restart = "never")]
pub struct Mortal;

#[handlers]
impl Mortal {
    pub async fn crash(&mut self) {
        panic!("on purpose");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_is_never_restarted_fails_once() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let mortal = node.spawn::<Mortal>();
    let (first, queued) = tokio::join!(mortal.crash().timeout(LONG), mortal.crash().timeout(LONG));
    assert_eq!(code(first), Code::Panicked);
    assert_eq!(code(queued), Code::Quarantined);
    assert_eq!(callboard::watch(&mortal).await.reason, DownReason::Failed);
    assert_eq!(code(mortal.crash().await), Code::Quarantined);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_factory_that_panics_is_tried_again_until_it_is_given_up() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let log = Log::default();
    for (failures, answer) in [(2, Ok(1)), (9, Err(Code::Quarantined))] {
        let tries = AtomicU32::new(0);
        let probe = Probe::new("a", &log);
        let made = probe.clone();
        let child_ends = Arc::new(AtomicU32::new(0));
        let counted = child_ends.clone();
        let member = node.spawn_with::<Member>(move |ctx| {
            // What a failed start has begun must not stay.
            let ended = Probe::new("child", &made.0.log);
            let child = ctx.spawn_with::<Member>(move |_| Member::new(&ended));
            let counted = counted.clone();
            tokio::spawn(async move {
                callboard::watch(&child).await;
                counted.fetch_add(1, SeqCst);
            });
            assert!(tries.fetch_add(1, SeqCst) >= failures, "no resources yet");
            Member::new(&made)
        });
        let answered = member
            .add()
            .timeout(LONG)
            .await
            .map_err(|error| error.code());
        assert_eq!(answered, answer);
        let failed = failures.min(4);
        eventually("the children of failed starts end", || {
            child_ends.load(SeqCst) == failed
        })
        .await;
    }
    node.stop().await;
}

#[derive(Service)]
pub struct Larder(Arc<AtomicU32>);

#[handlers]
impl Larder {
    pub async fn count(&self) -> u32 {
        self.0.fetch_add(1, SeqCst) + 1
    }
}

/// Hosts a larder that cannot be made.
fn without_a_larder(builder: Builder) -> Builder {
    builder.host_with::<Larder>(|_| panic!("no database"))
}

#[tokio::test]
async fn a_service_that_cannot_be_made_is_withdrawn_and_its_calls_go_elsewhere() {
    let errors = Errors::default();
    let subscriber = tracing_subscriber::registry().with(errors.clone());
    let _guards = hears(subscriber);
    let town = Town::new();
    let counted = Arc::new(AtomicU32::new(0));
    let made = counted.clone();
    let well = town.node("n2").host_with(move |_| Larder(made.clone()));
    let well = well.start().await.expect("starts");
    let ill = without_a_larder(town.node("n1")).seed(well.local_addr());
    let ill = ill.start().await.expect("starts");
    let client = town.client(ill.local_addr()).await;
    eventually("all are linked", || {
        client.members().len() == 2 && ill.members().len() == 1
    })
    .await;
    // They are made while the service still tries to start, and wait in its mailbox.
    let (near, far) = (ill.service::<Larder>(), client.service::<Larder>());
    let calls = (0..30).map(|call| [&near, &far][call % 2].count());
    for call in join_all(calls).await {
        assert!(call.is_ok(), "{call:?}");
    }
    let given_up = || errors.0.lock().expect("errors").clone();
    eventually("it is given up", || !given_up().is_empty()).await;
    for call in 31..=40 {
        assert_eq!(ill.service::<Larder>().count().await, Ok(call));
    }
    // Nobody answers a send, so none may go to the wrong one.
    for sender in [client, town.client(ill.local_addr()).await] {
        eventually("both are linked", || sender.members().len() == 2).await;
        let before = counted.load(SeqCst);
        for _ in 0..20 {
            sender
                .service::<Larder>()
                .count()
                .send()
                .await
                .expect("sent");
        }
        eventually("all came", || counted.load(SeqCst) == before + 20).await;
        sender.close().await;
    }
    let client = town.client(ill.local_addr()).await;
    well.stop().await;
    eventually("only one is left", || client.members().len() == 1).await;
    let larders = [client.service::<Larder>(), ill.service::<Larder>()];
    for larder in larders {
        let error = larder.count().await.expect_err("no host is left");
        assert_eq!(error.code(), Code::ServiceGivenUp);
        assert_eq!(error.subject(), "method Larder/count on node n1");
    }
    let log = given_up();
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("no database"), "{log:?}");
    client.close().await;
    ill.stop().await;
}

/// Blocks a thread, which no handler should.
#[derive(Default, Service)]
pub struct Mill(Arc<AtomicU32>);

#[handlers]
impl Mill {
    pub fn grind(&self, millis: u64) {
        self.0.fetch_add(1, SeqCst);
        std::thread::sleep(Duration::from_millis(millis));
    }
}

/// Sets timers that come to nothing.
#[derive(Default, Actor)]
pub struct Alarm;

#[handlers]
impl Alarm {
    pub fn tick_without_end(&self, ctx: &Ctx<Self>) {
        ctx.every(Duration::ZERO, |_| async {});
    }

    pub fn fail_later(&self, ctx: &Ctx<Self>) {
        ctx.every(Duration::from_millis(1), |_| async {
            panic!("the tick failed")
        });
    }
}

#[tokio::test]
async fn a_period_of_zero_fails_the_turn_that_asks_for_it() {
    let node = Town::new().node("n1").start().await.expect("starts");
    let failed = node.spawn::<Alarm>().tick_without_end().await;
    let failed = failed.expect_err("it panics");
    assert_eq!(failed.code(), Code::Panicked);
    assert!(
        failed.detail().contains("a period that is not zero"),
        "{failed}"
    );
    node.stop().await;
}

#[tokio::test]
async fn a_timer_that_panics_and_a_node_that_is_dropped_are_told_of_in_the_log() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let node = Town::new().node("n1").start().await.expect("starts");
    let alarm = node.spawn::<Alarm>();
    assert_eq!(alarm.fail_later().await, Ok(()));
    eventually("it is told", || logged.count("`Ctx::every` panicked") == 1).await;
    assert_eq!(logged.count("the tick failed"), 1);
    assert_eq!(logged.count("dropped without `stop`"), 0);
    drop(node);
    assert_eq!(logged.count("dropped without `stop`"), 1);
    // In front of the error that `main` ends by.
    assert_eq!(
        logged.count("where `main` ends by an error, which is told after this"),
        1
    );
    assert_eq!(
        logged.count("peers may wait for it until their timers end"),
        1
    );
    Town::new()
        .node("n2")
        .start()
        .await
        .expect("starts")
        .stop()
        .await;
    assert_eq!(logged.count("dropped without `stop`"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_hold_all_threads_are_told_of_in_the_nodes_own_log() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let node = town
        .node("n1")
        .host::<Mill>()
        .start()
        .await
        .expect("starts");
    let told = || logged.count("spawn_blocking");
    let mill = node.service::<Mill>();
    let grind = |millis| mill.grind(millis).timeout(LONG);
    assert_eq!(grind(10).await, Ok(()));
    assert_eq!(told(), 0);
    // The time of a look more than it takes, and less than until it is told again.
    for ground in join_all([2400, 2400].map(grind)).await {
        assert_eq!(ground, Ok(()));
    }
    assert_eq!(told(), 1);
    assert_eq!(logged.count("Mill (2)"), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_outlasts_the_grace_is_told_of_when_the_grace_ends() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let grace = Duration::from_millis(50);
    let begun = Arc::<AtomicU32>::default();
    let given = begun.clone();
    let node = town.node("n1").host_with(move |_| Mill(given.clone()));
    let node = node.grace(grace);
    let node = node.start().await.expect("starts");
    let mill = node.service::<Mill>();
    let call = tokio::spawn(mill.grind(3000).timeout(LONG));
    eventually("it runs", || begun.load(SeqCst) == 1).await;
    let from = Instant::now();
    node.stop().await;
    assert!(
        from.elapsed() < Duration::from_millis(2900),
        "{:?}",
        from.elapsed()
    );
    assert_eq!(logged.count("the grace is over"), 1);
    assert_eq!(logged.count("the process cannot end before it returns"), 1);
    assert_eq!(logged.count("service=\"Mill\""), 2);
    drop(call);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_says_whose_calls_it_waits_for_and_names_nobody_else() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let node = town.node("n1").host::<Mill>();
    let node = node.grace(Duration::from_millis(1500)).start().await;
    let node = node.expect("starts");
    let log = Log::default();
    // It ends after its children, for which all of the grace goes.
    let children = parent(&node, &log).raise().await.expect("raised");
    let call = tokio::spawn(children[1].wait().timeout(LONG));
    eventually("it runs", || {
        node.metrics()
            .contains("callboard_mailbox_wait_seconds_count{actor=\"Member\"} 1")
    })
    .await;
    node.stop().await;
    let one = "actor=\"Member\" running=1 waiting=0";
    assert_eq!(logged.count("the stop waits for calls"), 1);
    assert_eq!(logged.count("the grace is over"), 1);
    assert_eq!(logged.count(one), 2);
    for quiet in ["Parent", "Mill", "running=0"] {
        assert_eq!(logged.count(quiet), 0, "{quiet}");
    }
    let error = call.await.expect("joins").expect_err("aborted");
    assert_eq!(error.code(), Code::TurnAborted);
    assert_eq!(error.subject(), "method Member/wait on node n1");
    let why = "the node is stopping, and its grace was over";
    assert_eq!(error.detail(), why);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refs_survive_a_restart() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let client = town.client(node.local_addr()).await;
    let (_, [member, ..]) = three(&node.supervisor(Strategy::OneForOne));
    let remote = client.attach(member.clone());
    assert_eq!(remote.add().await, Ok(1));
    assert_eq!(code(remote.crash().await), Code::Panicked);
    assert_eq!(remote.add().await, Ok(1));
    let again = remote.this().await.expect("a ref");
    assert_eq!(again, member);
    assert_eq!(HashSet::from([again, member, remote]).len(), 1);
    client.close().await;
    node.stop().await;
}

#[derive(Actor)]
#[actor(backoff = "5ms..20ms")]
pub struct Parent {
    mark: Mark,
    children: Vec<MemberRef>,
}

#[handlers]
impl Parent {
    pub fn raise(&mut self, ctx: &Ctx<Self>) -> Vec<MemberRef> {
        for name in ["eldest", "middle", "youngest"] {
            let probe = Probe::new(name, &self.mark.0.0.log);
            let child = ctx.spawn_with::<Member>(move |_| Member::new(&probe));
            self.children.push(child);
        }
        self.children.clone()
    }

    pub fn crash(&mut self) {
        panic!("on purpose");
    }

    pub async fn ask(&mut self) -> Result<u32, CallError> {
        self.children[0].add().await
    }
}

fn parent(node: &Node, log: &Log) -> ParentRef {
    let probe = Probe::new("parent", log);
    node.spawn_with::<Parent>(move |_| Parent {
        mark: Mark(probe.clone()),
        children: Vec::new(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_end_before_their_parent_and_the_youngest_first() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let log = Log::default();
    let family = parent(&node, &log);
    let children = family.raise().await.expect("raised");
    count_to_two(&children).await;
    assert_eq!(family.ask().await, Ok(3));
    assert!(node.stop_actor(&family, LONG).await);
    let order = ["youngest", "middle", "eldest", "parent"];
    assert_eq!(*log.lock().expect("log"), order);

    let log = Log::default();
    let family = parent(&node, &log);
    let children = family.raise().await.expect("raised");
    count_to_two(&children).await;
    node.stop().await;
    assert_eq!(*log.lock().expect("log"), order);
    assert_eq!(code(children[0].add().await), Code::NodeStopping);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_children_of_a_crashed_parent_end_with_it() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let log = Log::default();
    let family = parent(&node, &log);
    let children = family.raise().await.expect("raised");
    count_to_two(&children).await;
    assert_eq!(code(family.crash().await), Code::Panicked);
    for child in &children {
        let down = callboard::watch(child).await.reason;
        assert!(matches!(down, DownReason::Stopped | DownReason::Gone));
        assert_eq!(code(child.add().await), Code::ActorStopped);
    }
    assert_eq!(family.raise().await.expect("raised").len(), 3);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_runs_what_waits_within_the_grace_and_refuses_the_rest() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    for grace in [LONG, Duration::from_millis(50)] {
        let (probes, [member, ..]) = three(&node.supervisor(Strategy::OneForOne));
        let running = tokio::spawn(member.wait().timeout(LONG));
        eventually("it runs", || probes[0].started() == 1).await;
        let mut waiting = Vec::new();
        for queued in 1..=3 {
            waiting.push(tokio::spawn(member.add().timeout(LONG)));
            eventually("it waits", || {
                let depth = format!("callboard_mailbox_depth{{actor=\"Member\"}} {queued}");
                node.metrics().contains(&depth)
            })
            .await;
        }
        let mut stopping = std::pin::pin!(node.stop_actor(&member, grace));
        assert!(futures_util::poll!(stopping.as_mut()).is_pending());
        assert_eq!(code(member.add().await), Code::ActorStopped);
        if grace == LONG {
            probes[0].0.gate.add_permits(1);
        }
        assert!(stopping.await);
        let running = running.await.expect("joins");
        let mut answers = Vec::new();
        for call in waiting {
            answers.push(call.await.expect("joins").map_err(|error| error.code()));
        }
        if grace == LONG {
            assert_eq!(running, Ok(()));
            assert_eq!(answers, [Ok(1), Ok(2), Ok(3)]);
        } else {
            let running = running.expect_err("aborted");
            assert_eq!(running.code(), Code::TurnAborted);
            let why = "it was stopped, and the grace of the stop was over";
            assert_eq!(running.detail(), why);
            assert_eq!(answers, [Err(Code::ActorStopped); 3]);
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_a_backoff() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let lazy = node.spawn::<Lazy>();
    assert_eq!(code(lazy.crash().await), Code::Panicked);
    let queued = tokio::spawn(lazy.crash().timeout(LONG));
    eventually("it waits", || {
        node.metrics()
            .contains("callboard_mailbox_depth{actor=\"Lazy\"} 1")
    })
    .await;
    let begun = Instant::now();
    assert!(node.stop_actor(&lazy, LONG).await);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(code(queued.await.expect("joins")), Code::ActorStopped);
    node.stop().await;
}

#[derive(Default, Actor)]
#[actor(backoff = "40s..40s")]
pub struct Lazy;

#[handlers]
impl Lazy {
    pub fn crash(&mut self) {
        panic!("on purpose");
    }
}

/// Goes away after five idle milliseconds.
#[derive(Actor)]
#[actor(key = u32, idle = "5ms")]
pub struct Brief {
    seen: Arc<BriefSeen>,
}

#[derive(Default)]
pub struct BriefSeen {
    made: AtomicU32,
    running: AtomicU32,
    runs: AtomicU32,
}

#[handlers]
impl Brief {
    pub async fn touch(&mut self) {
        assert_eq!(self.seen.running.fetch_add(1, SeqCst), 0, "two at once");
        tokio::task::yield_now().await;
        self.seen.runs.fetch_add(1, SeqCst);
        self.seen.running.fetch_sub(1, SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_in_the_moment_of_deactivation_works() {
    let town = Town::new();
    let seen = Arc::new(BriefSeen::default());
    let given = seen.clone();
    let node = town
        .node("n1")
        .host_with::<Brief>(move |_| {
            given.made.fetch_add(1, SeqCst);
            let seen = given.clone();
            Brief { seen }
        })
        .start()
        .await
        .expect("starts");
    let brief = node.actor::<Brief>(7_u32);
    for round in 0..300_u64 {
        let calls = (0..4).map(|_| brief.touch().timeout(LONG));
        for answer in join_all(calls).await {
            assert_eq!(answer, Ok(()), "round {round}");
        }
        // Around the idle time, a little before to a little after it: the pause is the subject.
        tokio::time::sleep(Duration::from_micros(4_000 + round * 10)).await;
    }
    assert_eq!(seen.runs.load(SeqCst), 1200);
    assert!(seen.made.load(SeqCst) > 5, "it was never deactivated");
    eventually("the last one goes", || mailboxes(&node) == 1).await;
    node.stop().await;
}

#[derive(Actor)]
#[actor(backoff = "5ms..20ms")]
pub struct Clock {
    number: u32,
    seen: Arc<Mutex<Vec<(u32, &'static str)>>>,
}

#[handlers]
impl Clock {
    pub fn start(&mut self, ctx: &Ctx<Self>) {
        let number = self.number;
        let seen = self.seen.clone();
        ctx.after(Duration::from_millis(1), move |this| async move {
            seen.lock().expect("seen").push((number, "once"));
            let _ = this.note().await;
        });
        let seen = self.seen.clone();
        ctx.every(Duration::from_millis(2), move |_| {
            seen.lock().expect("seen").push((number, "tick"));
            async {}
        });
        let seen = self.seen.clone();
        ctx.after(Duration::from_secs(3600), move |_| async move {
            seen.lock().expect("seen").push((number, "late"));
        });
    }

    pub fn note(&mut self) {
        let number = self.number;
        self.seen.lock().expect("seen").push((number, "noted"));
    }

    pub fn crash(&mut self) {
        panic!("on purpose");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_fire_and_end_with_their_incarnation() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (given, made) = (seen.clone(), AtomicU32::new(0));
    let clock = node.spawn_with::<Clock>(move |_| Clock {
        number: made.fetch_add(1, SeqCst),
        seen: given.clone(),
    });
    let count = |what: (u32, &'static str)| {
        let seen = seen.lock().expect("seen");
        seen.iter().filter(|event| **event == what).count()
    };
    clock.start().await.expect("started");
    eventually("they fire", || {
        count((0, "tick")) >= 10 && count((0, "noted")) == 1
    })
    .await;
    assert_eq!(code(clock.crash().await), Code::Panicked);
    clock.start().await.expect("started");
    let old = count((0, "tick"));
    eventually("the new ones fire", || {
        count((1, "tick")) >= 20 && count((1, "noted")) == 1
    })
    .await;
    assert_eq!(count((0, "tick")), old, "an old timer fired");
    assert_eq!((count((0, "once")), count((1, "once"))), (1, 1));
    assert!(node.stop_actor(&clock, LONG).await);
    let ticks = count((1, "tick"));
    // Another clock ticks on, so time has passed for this one too.
    let given = seen.clone();
    let other = node.spawn_with::<Clock>(move |_| Clock {
        number: 2,
        seen: given.clone(),
    });
    other.start().await.expect("started");
    eventually("the other one ticks", || count((2, "tick")) >= 10).await;
    assert_eq!(count((1, "tick")), ticks, "a timer outlived its actor");
    node.stop().await;
}

#[derive(Actor)]
pub struct Shelf {
    seen: Arc<ShelfSeen>,
}

pub struct ShelfSeen {
    readers: AtomicU32,
    writers: AtomicU32,
    order: Mutex<Vec<u32>>,
    gate: Semaphore,
}

impl ShelfSeen {
    async fn pass(&self) {
        let _ = self.gate.acquire().await.map(|permit| permit.forget());
    }
}

#[handlers]
impl Shelf {
    pub async fn read(&self, who: u32) {
        self.seen.order.lock().expect("order").push(who);
        self.seen.readers.fetch_add(1, SeqCst);
        assert_eq!(
            self.seen.writers.load(SeqCst),
            0,
            "a writer beside a reader"
        );
        self.seen.pass().await;
        self.seen.readers.fetch_sub(1, SeqCst);
    }

    pub async fn write(&mut self, who: u32) {
        self.seen.order.lock().expect("order").push(who);
        assert_eq!(self.seen.writers.fetch_add(1, SeqCst), 0, "two writers");
        assert_eq!(
            self.seen.readers.load(SeqCst),
            0,
            "a reader beside a writer"
        );
        self.seen.pass().await;
        self.seen.writers.fetch_sub(1, SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_run_beside_each_other_and_a_waiting_writer_bars_later_ones() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let seen = Arc::new(ShelfSeen {
        readers: AtomicU32::new(0),
        writers: AtomicU32::new(0),
        order: Mutex::default(),
        gate: Semaphore::new(0),
    });
    let given = seen.clone();
    let shelf = node.spawn_with::<Shelf>(move |_| Shelf {
        seen: given.clone(),
    });
    let depth = |waiting: usize| {
        let metrics = node.metrics();
        let line = format!("callboard_mailbox_depth{{actor=\"Shelf\"}} {waiting}\n");
        metrics.contains(&line)
    };
    let mut calls = Vec::new();
    for who in 0..65 {
        calls.push(tokio::spawn(shelf.read(who).timeout(LONG)));
    }
    eventually("64 run", || seen.readers.load(SeqCst) == 64 && depth(1)).await;
    seen.gate.add_permits(65);
    for call in calls {
        assert_eq!(call.await.expect("joins"), Ok(()));
    }
    seen.order.lock().expect("order").clear();

    let mut calls = vec![
        tokio::spawn(shelf.read(0).timeout(LONG)),
        tokio::spawn(shelf.read(1).timeout(LONG)),
    ];
    eventually("both read", || seen.readers.load(SeqCst) == 2).await;
    for who in 2..8_u32 {
        // 2 and 5 write.
        calls.push(if who % 3 == 2 {
            tokio::spawn(shelf.write(who).timeout(LONG))
        } else {
            tokio::spawn(shelf.read(who).timeout(LONG))
        });
        eventually("it waits", || depth(who as usize - 1)).await;
    }
    seen.gate.add_permits(1);
    eventually("one reader is left", || seen.readers.load(SeqCst) == 1).await;
    assert!(depth(6), "a reader overtook a writer");
    seen.gate.add_permits(7);
    for call in calls {
        assert_eq!(call.await.expect("joins"), Ok(()));
    }
    let order = seen.order.lock().expect("order").clone();
    assert_eq!(order[2..], [2, 3, 4, 5, 6, 7]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_incarnation_that_never_awaits_leaves_the_queue_to_the_next() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let (_, members) = three(&node.supervisor(Strategy::OneForAll));
    // Sends keep the mailbox full of turns that never wait, while a sibling fails.
    let feeding = tokio::spawn({
        let member = members[1].clone();
        async move {
            loop {
                let _ = member.add().send().await;
                tokio::task::consume_budget().await;
            }
        }
    });
    assert_eq!(code(members[0].crash().await), Code::Panicked);
    eventually("all are restarted", || {
        node.metrics()
            .contains("callboard_actor_restarts_total{actor=\"Member\"} 3")
    })
    .await;
    feeding.abort();
    assert_eq!(members[0].add().await, Ok(1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_fires_when_the_node_is_lost() {
    let town = Town::new();
    // A link that is taken for lost in the busy first moments would end the watch too.
    let node = |name| town.node(name).config(callboard::net::Config::default());
    let watcher = node("watcher").start().await.expect("starts");
    let (give, given) = tokio::sync::oneshot::channel();
    let (lose, lost) = tokio::sync::oneshot::channel::<()>();
    let builder = node("lost").seed(watcher.local_addr());
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let node = builder.start().await.expect("starts");
            let mortal = node.spawn::<Mortal>();
            assert!(give.send(mortal).is_ok());
            let _ = lost.await;
            // Neither stopped nor dropped: as if its process were killed, it says nothing.
            std::mem::forget(node);
        });
        runtime.shutdown_background();
    });
    let mortal = watcher.attach(given.await.expect("a ref"));
    eventually("linked", || watcher.members().len() == 1).await;
    let held = |what: &str| {
        let usage = watcher.usage();
        usage
            .iter()
            .find(|held| held.what == what)
            .map(|held| held.now)
    };
    // It keeps a ref of its own.
    let watch = tokio::spawn(callboard::watch(&mortal));
    drop(mortal);
    eventually("it is watched", || held("watches on a peer") == Some(1)).await;
    lose.send(()).expect("told");
    thread.join().expect("joins");
    assert_eq!(watch.await.expect("joins").reason, DownReason::NodeLost);
    watcher.stop().await;
}

/// A keyed actor that fails on demand and streams for ever.
#[derive(Default, Actor)]
#[actor(key = u32, idle = "20ms", intensity = "0 in 1m")]
pub struct Frail {
    touched: u32,
}

#[handlers]
impl Frail {
    pub fn touch(&mut self) -> u32 {
        self.touched += 1;
        self.touched
    }

    pub fn crash(&mut self) {
        panic!("on purpose");
    }

    pub async fn wait(&mut self) {
        std::future::pending::<()>().await;
    }

    pub fn ticks(&self) -> impl Stream<Item = u32> + use<> {
        stream::iter(0..1).chain(stream::pending())
    }
}

#[tokio::test]
async fn the_key_of_an_actor_that_is_given_up_is_in_the_log() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let town = Town::new();
    let node = town.node("n1").host::<Frail>();
    let node = node.start().await.expect("starts");
    assert!(node.actor::<Frail>(4711_u32).crash().await.is_err());
    eventually("it is told", || logged.count("key=\"4711\"") == 1).await;
    node.stop().await;
}

#[tokio::test]
async fn a_node_that_does_not_start_has_made_no_service() {
    let town = Town::new();
    let taken = town.node("n1").start().await.expect("starts");
    let made = Arc::new(AtomicU32::new(0));
    let counted = made.clone();
    let second = town.node("n2").listen(taken.local_addr());
    let second = second.host_with(move |_: &Ctx<Larder>| {
        counted.fetch_add(1, SeqCst);
        Larder(counted.clone())
    });
    let before = Instant::now();
    let error = second.start().await.expect_err("the port is taken");
    assert_eq!(error.code(), Code::BindFailed);
    assert_eq!(made.load(SeqCst), 0);
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "nothing is waited for"
    );
    taken.stop().await;
}

/// Counts how many turns a thread ran, one after another, without any other task in between.
#[derive(Clone, Default)]
pub struct Thought(Arc<Mutex<Thinking>>);

#[derive(Default)]
struct Thinking {
    in_a_row: u32,
    most: u32,
}

impl Thought {
    fn think(&self) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        let mut thinking = self.0.lock().expect("thinking");
        thinking.in_a_row += 1;
        thinking.most = thinking.most.max(thinking.in_a_row);
    }

    /// Is another task, until it is aborted.
    async fn interrupt(self) {
        loop {
            self.0.lock().expect("thinking").in_a_row = 0;
            tokio::task::yield_now().await;
        }
    }
}

#[derive(Service)]
pub struct Study(Thought);

#[handlers]
impl Study {
    pub fn think(&self) {
        self.0.think();
    }
}

#[derive(Actor)]
pub struct Scholar(Thought);

#[handlers]
impl Scholar {
    pub fn read(&self) {
        self.0.think();
    }

    pub fn write(&mut self) {
        self.0.think();
    }
}

#[tokio::test]
async fn turns_that_compute_let_other_tasks_run_between_them() {
    let (thought, town) = (Thought::default(), Town::new());
    let shared = thought.clone();
    let node = town.node("n1").host_with(move |_| Study(shared.clone()));
    let node = node.start().await.expect("starts");
    let shared = thought.clone();
    let scholar = node.spawn_with(move |_| Scholar(shared.clone()));
    let other = tokio::spawn(thought.clone().interrupt());
    let study = node.service::<Study>();
    let thought_of = join_all((0..40).map(|_| study.think()));
    assert!(thought_of.await.iter().all(Result::is_ok));
    let read = join_all((0..40).map(|_| scholar.read()));
    assert!(read.await.iter().all(Result::is_ok));
    let written = join_all((0..40).map(|_| scholar.write()));
    assert!(written.await.iter().all(Result::is_ok));
    other.abort();
    let most = thought.0.lock().expect("thinking").most;
    assert!(most < 10, "{most} of 40 turns in a row");
    node.stop().await;
}

/// Never restarted.
#[derive(Default, Actor)]
#[actor(intensity = "0 in 1m")]
pub struct Brittle;

#[handlers]
impl Brittle {
    pub fn crash(&mut self) {
        panic!("on purpose");
    }
}

/// Returns how many mailboxes a node has, but for those of the framework's own services.
fn mailboxes(node: &Node) -> usize {
    let all = node.mailboxes();
    let own = all
        .iter()
        .filter(|(name, _)| !name.starts_with("callboard."));
    own.count()
}

/// Starts a node that forgets what it gave up after a while.
async fn forgetful(town: &Town, quarantine: Duration) -> Node {
    let mut limits = callboard::CallLimits::default();
    limits.quarantine = quarantine;
    let starting = town.node("n1").call_limits(limits).host::<Frail>().start();
    starting.await.expect("starts")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantine_ends_after_its_time() {
    let town = Town::new();
    let node = forgetful(&town, Duration::from_millis(300)).await;
    let client = town.client(node.local_addr()).await;
    let frail = node.actor::<Frail>(1_u32);
    let brittle = node.spawn::<Brittle>();
    let far = client.attach(brittle.clone());
    assert_eq!(code(frail.crash().await), Code::Panicked);
    assert_eq!(code(far.crash().await), Code::Panicked);
    assert_eq!(code(frail.touch().await), Code::Quarantined);
    assert_eq!(code(far.crash().await), Code::Quarantined);
    assert_eq!(mailboxes(&node), 3, "the type, its key and the actor");
    eventually("both are forgotten", || mailboxes(&node) == 1).await;
    assert_eq!(frail.touch().await, Ok(1));
    assert_eq!(code(far.crash().await), Code::ActorGone);
    // A ref of the own node still knows why.
    let gone = brittle.crash().await.expect_err("forgotten");
    assert_eq!(gone.code(), Code::ActorGone);
    assert!(
        gone.detail().contains("it was given up: it failed"),
        "{gone}"
    );
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_releases_from_quarantine() {
    let town = Town::new();
    let node = forgetful(&town, LONG).await;
    let frail = node.actor::<Frail>(1_u32);
    assert!(!node.stop_actor(&frail, LONG).await, "it was never called");
    assert_eq!(code(frail.crash().await), Code::Panicked);
    assert_eq!(code(frail.touch().await), Code::Quarantined);
    assert!(node.stop_actor(&frail, LONG).await);
    assert_eq!(frail.touch().await, Ok(1));
    let brittle = node.spawn::<Brittle>();
    assert_eq!(code(brittle.crash().await), Code::Panicked);
    assert_eq!(code(brittle.crash().await), Code::Quarantined);
    assert!(node.stop_actor(&brittle, LONG).await);
    assert!(!node.stop_actor(&brittle, LONG).await, "it is forgotten");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_can_be_stopped_and_called_again_after_that() {
    let town = Town::new();
    let node = forgetful(&town, LONG).await;
    let frail = node.actor::<Frail>(1_u32);
    assert_eq!(frail.touch().await, Ok(1));
    assert!(node.stop_actor(&frail, LONG).await);
    assert_eq!(frail.touch().await, Ok(1), "it was activated anew");
    let waiting = tokio::spawn(frail.wait().timeout(LONG));
    eventually("it runs", || {
        let text = node.metrics();
        text.contains("callboard_mailbox_wait_seconds_count{actor=\"Frail\"} 3")
    })
    .await;
    let mut stopping = Box::pin(node.stop_actor(&frail, Duration::from_millis(300)));
    assert!(futures_util::poll!(&mut stopping).is_pending());
    // No second activation beside the one that still runs.
    assert_eq!(code(frail.touch().await), Code::ActorStopped);
    assert!(stopping.as_mut().await);
    drop(stopping);
    assert_eq!(code(waiting.await.expect("joins")), Code::TurnAborted);
    assert_eq!(frail.touch().await, Ok(1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_with_an_open_stream_is_not_idle() {
    let town = Town::new();
    let node = forgetful(&town, LONG).await;
    let frail = node.actor::<Frail>(1_u32);
    assert_eq!(frail.touch().await, Ok(1));
    let mut ticks = frail.ticks().await.expect("a stream");
    assert_eq!(ticks.next().await, Some(Ok(0)));
    // Ten times the idle time: that nothing comes, not even an end, is the subject.
    let broken = tokio::time::timeout(Duration::from_millis(200), ticks.next()).await;
    assert!(broken.is_err(), "{broken:?}");
    assert_eq!(frail.touch().await, Ok(2), "it was deactivated");
    drop(ticks);
    eventually("it goes when nobody reads", || mailboxes(&node) == 1).await;
    assert_eq!(frail.touch().await, Ok(1));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_of_an_actor_of_the_nodes_own_earlier_life_says_that_it_is_gone() {
    let town = Town::new();
    let before = town.node("n1").start().await.expect("starts");
    let brittle = before.spawn::<Brittle>();
    before.stop().await;
    let after = town.node("n1").start().await.expect("starts");
    let brittle = after.attach(brittle);
    let watching = tokio::time::timeout(LONG, callboard::watch(&brittle)).await;
    assert_eq!(watching.expect("it fires").reason, DownReason::Gone);
    assert_eq!(code(brittle.crash().await), Code::ActorGone);
    after.stop().await;
}

/// Computes without an await until it is let go.
#[derive(Actor)]
#[actor(backoff = "1ms..1ms", intensity = "50 in 1m")]
pub struct Thinker {
    lives: Arc<Lives>,
}

#[derive(Default)]
pub struct Lives {
    made: AtomicU32,
    alive: AtomicU32,
    most: AtomicU32,
    thinking: AtomicU32,
    is_free: AtomicBool,
}

impl Thinker {
    fn new(lives: &Arc<Lives>) -> Self {
        lives.made.fetch_add(1, SeqCst);
        let alive = lives.alive.fetch_add(1, SeqCst) + 1;
        lives.most.fetch_max(alive, SeqCst);
        Self {
            lives: lives.clone(),
        }
    }
}

impl Drop for Thinker {
    fn drop(&mut self) {
        self.lives.alive.fetch_sub(1, SeqCst);
    }
}

#[handlers]
impl Thinker {
    pub fn touch(&mut self) {}

    pub fn crash(&mut self) {
        panic!("on purpose");
    }

    pub fn think(&mut self) {
        self.lives.thinking.fetch_add(1, SeqCst);
        while !self.lives.is_free.load(SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_failure_while_a_sibling_still_ends_starts_everyone_once() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let group = node.supervisor(Strategy::RestForOne);
    let lives = [0; 3].map(|_| Arc::<Lives>::default());
    let [a, b, c] = lives.each_ref().map(|lives| {
        let lives = lives.clone();
        group.spawn_with::<Thinker>(move |_| Thinker::new(&lives))
    });
    let thought = tokio::spawn(c.think());
    eventually("it thinks", || lives[2].thinking.load(SeqCst) == 1).await;
    assert_eq!(code(b.crash().await), Code::Panicked);
    // Longer than the backoff: the younger ones would run again, were it not for the one that thinks.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(code(a.crash().await), Code::Panicked);
    tokio::time::sleep(Duration::from_millis(50)).await;
    lives[2].is_free.store(true, SeqCst);
    for member in [&a, &b, &c] {
        member.touch().await.expect("it runs again");
    }
    let _ = thought.await;
    node.stop().await;
    let count = |of: fn(&Lives) -> &AtomicU32| lives.each_ref().map(|lives| of(lives).load(SeqCst));
    assert_eq!(
        count(|lives| &lives.most),
        [1; 3],
        "one incarnation at a time"
    );
    assert_eq!(count(|lives| &lives.made), [2; 3]);
}
