//! What actors do when they begin and when they end, on live nodes.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use callboard::{
    Actor, Builder, CallLimits, Client, Code, Ctx, Deactivation, Node, Profile, Service, Wire,
    contract, handlers,
};
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use crate::support::{DEADLINE, Town, code, eventually, soon};

/// What a hook does in a test instead of ending well.
#[derive(Clone, Copy, Debug)]
pub enum Turnout {
    Fails(&'static str),
    /// Waits until the test lets it go on, and fails then.
    FailsLate(&'static str),
    Panics,
    Hangs,
    /// Waits until the test lets it go on.
    Waits,
    /// Calls this key, whose handler calls back.
    Calls(&'static str),
}

/// What all diaries of a test leave, and what is planned for them.
#[derive(Debug)]
pub struct Desk {
    events: Mutex<Vec<String>>,
    /// What becomes of which hook of which key.
    plans: Mutex<Vec<(String, Turnout)>>,
    gate: Semaphore,
    states: AtomicUsize,
    states_max: AtomicUsize,
}

impl Desk {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            events: Mutex::default(),
            plans: Mutex::default(),
            gate: Semaphore::new(0),
            states: AtomicUsize::new(0),
            states_max: AtomicUsize::new(0),
        })
    }

    fn note(&self, event: impl Into<String>) {
        self.events.lock().expect("whole").push(event.into());
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().expect("whole").clone()
    }

    fn has(&self, event: &str) -> bool {
        self.events().iter().any(|it| it == event)
    }

    fn count(&self, event: &str) -> usize {
        self.events().iter().filter(|it| *it == event).count()
    }

    /// Plans what becomes of the next `open` or `shut` of a key.
    fn plan(&self, hook: &str, turnout: Turnout) {
        let mut plans = self.plans.lock().expect("whole");
        plans.push((hook.to_owned(), turnout));
    }

    fn planned(&self, hook: &str) -> Option<Turnout> {
        let mut plans = self.plans.lock().expect("whole");
        let at = plans.iter().position(|(of, _)| of == hook)?;
        Some(plans.remove(at).1)
    }

    async fn pass(&self) {
        let passed = self.gate.acquire().await;
        passed.expect("open").forget();
    }

    async fn follow(&self, ctx: &Ctx<Diary>, hook: &str) -> Result<(), String> {
        match self.planned(hook) {
            None => {}
            Some(Turnout::Fails(why)) => return Err(why.to_owned()),
            Some(Turnout::FailsLate(why)) => {
                self.pass().await;
                return Err(why.to_owned());
            }
            Some(Turnout::Panics) => panic!("on purpose"),
            Some(Turnout::Hangs) => std::future::pending().await,
            Some(Turnout::Waits) => self.pass().await,
            Some(Turnout::Calls(key)) => {
                let told = ctx.actor::<Diary>(key).calls("k".to_owned()).await;
                self.note(format!("told {:?}", told.map_err(|error| error.code())));
            }
        }
        Ok(())
    }
}

/// One state of a key.
#[derive(Debug)]
struct State(Arc<Desk>);

impl State {
    fn new(desk: &Arc<Desk>) -> Self {
        let now = desk.states.fetch_add(1, Ordering::SeqCst) + 1;
        desk.states_max.fetch_max(now, Ordering::SeqCst);
        Self(desk.clone())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.0.states.fetch_sub(1, Ordering::SeqCst);
    }
}

#[derive(Actor)]
#[actor(key = String, idle = "10ms", intensity = "2 in 10m", backoff = "1ms..2ms")]
pub struct Diary {
    desk: Arc<Desk>,
    is_open: bool,
    _state: State,
}

#[handlers]
impl Diary {
    #[handler(activate)]
    async fn open(&mut self, ctx: &Ctx<Self>) -> Result<(), String> {
        assert!(ctx.caller().is_none(), "nobody has called it");
        let event = format!("open {}", ctx.key());
        self.desk.note(&*event);
        self.desk.follow(ctx, &event).await?;
        self.is_open = true;
        Ok(())
    }

    #[handler(deactivate)]
    async fn shut(&mut self, ctx: &Ctx<Self>, reason: Deactivation) {
        assert!(self.is_open && ctx.caller().is_none());
        let key = ctx.key();
        self.desk.note(format!("shut {key} {reason:?}"));
        let _ = self.desk.follow(ctx, &format!("shut {key}")).await;
        self.desk.note(format!("was shut {key}"));
    }

    pub fn write(&mut self, ctx: &Ctx<Self>) {
        assert!(self.is_open, "a turn before it was opened");
        self.desk.note(format!("write {}", ctx.key()));
    }

    pub async fn calls(&mut self, ctx: &Ctx<Self>, key: String) -> Option<String> {
        let called = ctx.actor::<Diary>(key).write().await;
        called.err().map(|error| error.code().text().to_owned())
    }

    pub fn crash(&mut self) {
        panic!("on purpose");
    }

    #[handler(abort)]
    pub async fn hold(&mut self) {
        self.desk.note("held");
        std::future::pending().await
    }
}

fn limits(turn_limit: Duration) -> CallLimits {
    let mut limits = CallLimits::default();
    limits.turn_limit = turn_limit;
    limits
}

fn diaries(town: &Town, desk: &Arc<Desk>) -> Builder {
    let desk = desk.clone();
    town.node("n1").host_with::<Diary>(move |_| Diary {
        desk: desk.clone(),
        is_open: false,
        _state: State::new(&desk),
    })
}

async fn start(town: &Town, desk: &Arc<Desk>) -> Node {
    diaries(town, desk).start().await.expect("starts")
}

/// Returns how many messages wait for all diaries.
fn depth(node: &Node) -> usize {
    let metrics = node.metrics();
    let lines = metrics.lines();
    let mut of_diaries =
        lines.filter_map(|line| line.strip_prefix("callboard_mailbox_depth{actor=\"Diary\"} "));
    of_diaries
        .next()
        .map_or(0, |depth| depth.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_begins_before_its_first_turn_and_ends_after_its_idle_time() {
    let (town, desk) = (Town::new(), Desk::new());
    let node = start(&town, &desk).await;
    let diary = node.actor::<Diary>("k");
    for _ in 0..2 {
        let seen = desk.count("was shut k");
        join_all([diary.write(), diary.write()]).await;
        eventually("it is idle", || desk.count("was shut k") == seen + 1).await;
    }
    let once = ["open k", "write k", "write k", "shut k Idle", "was shut k"];
    assert_eq!(desk.events(), [once, once].concat());
    assert_eq!(desk.states_max.load(Ordering::SeqCst), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_for_an_actor_that_cannot_begin_are_told_why_and_the_next_one_tries_again()
{
    let (town, desk) = (Town::new(), Desk::new());
    let node = diaries(&town, &desk).call_limits(limits(Duration::from_millis(200)));
    let node = node.start().await.expect("starts");
    for (plan, why) in [
        (Turnout::FailsLate("the pen is dry"), "the pen is dry"),
        (Turnout::Panics, "it panicked: on purpose"),
        (Turnout::Hangs, "it did not end within 200ms"),
    ] {
        // A key for each, so that none fails too often.
        let key = format!("{plan:?}");
        desk.plan(&format!("open {key}"), plan);
        let diary = node.actor::<Diary>(&*key);
        let first = tokio::spawn(diary.write().timeout(DEADLINE));
        let mut failed = Vec::new();
        if let Turnout::FailsLate(_) = plan {
            let second = tokio::spawn(diary.write().timeout(DEADLINE));
            eventually("both wait", || depth(&node) == 2).await;
            desk.gate.add_permits(1);
            failed.push(second.await.expect("joins"));
        }
        failed.push(first.await.expect("joins"));
        for error in failed {
            let error = error.expect_err("it cannot begin");
            assert_eq!(error.code(), Code::ActivationFailed);
            let text = error.to_string();
            for part in ["Diary/write on node n1", &format!("Diary({key:?})"), why] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        assert_eq!(desk.count(&format!("write {key}")), 0);
        assert_eq!(diary.write().await, Ok(()), "the next one tries again");
        assert_eq!(desk.count(&format!("open {key}")), 2);
    }
    node.stop().await;
    assert_eq!(desk.states.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_cannot_begin_time_and_again_is_given_up_until_it_is_released() {
    let (town, desk) = (Town::new(), Desk::new());
    let node = start(&town, &desk).await;
    let diary = node.actor::<Diary>("k");
    for _ in 0..3 {
        desk.plan("open k", Turnout::Fails("the pen is dry"));
        assert_eq!(code(diary.write().await), Code::ActivationFailed);
    }
    let error = loop {
        // The last failure is told before its guardian has heard of it.
        match diary.write().await.expect_err("given up") {
            error if error.code() == Code::Quarantined => break error,
            error => assert_eq!(error.code(), Code::ActivationFailed),
        }
    };
    assert!(error.detail().contains("the pen is dry"), "{error}");
    assert_eq!(desk.count("open k"), 3);
    assert!(node.stop_actor(&diary, DEADLINE).await);
    assert_eq!(diary.write().await, Ok(()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_comes_while_an_idle_actor_ends_waits_and_begins_a_new_one() {
    let (town, desk) = (Town::new(), Desk::new());
    let node = start(&town, &desk).await;
    let diary = node.actor::<Diary>("k");
    for round in 0..3 {
        desk.plan("shut k", Turnout::Waits);
        diary.write().await.expect("answers");
        let ends = || desk.count("shut k Idle") == 2 * round + 1;
        eventually("it ends", ends).await;
        let call = tokio::spawn(diary.write().timeout(DEADLINE));
        eventually("the call waits", || depth(&node) == 1).await;
        assert_eq!(desk.count("write k"), 2 * round + 1);
        desk.gate.add_permits(1);
        assert_eq!(call.await.expect("joins"), Ok(()));
        let ended = || desk.count("was shut k") == 2 * round + 2;
        eventually("it is idle again", ended).await;
    }
    let life = ["open k", "write k", "shut k Idle", "was shut k"];
    assert_eq!(desk.events(), life.repeat(6));
    assert_eq!(desk.states_max.load(Ordering::SeqCst), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_ends_whatever_comes_of_its_last_deed() {
    let (town, desk) = (Town::new(), Desk::new());
    let node = diaries(&town, &desk).call_limits(limits(Duration::from_millis(100)));
    let node = node.start().await.expect("starts");
    for (key, plan) in [("a", Turnout::Panics), ("b", Turnout::Hangs)] {
        let diary = node.actor::<Diary>(key);
        for _ in 0..4 {
            // More often than it may fail: this is no failure of the actor.
            desk.plan(&format!("shut {key}"), plan);
            diary.write().await.expect("answers");
            let ended = || desk.plans.lock().expect("whole").is_empty();
            eventually("it is idle", || {
                ended() && desk.states.load(Ordering::SeqCst) == 0
            })
            .await;
        }
        assert!(!desk.has(&format!("was shut {key}")));
        assert_eq!(desk.count(&format!("shut {key} Idle")), 4);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_an_actor_end_and_what_waits_run_before() {
    let (town, desk) = (Town::new(), Desk::new());
    let node = start(&town, &desk).await;
    let (one, two) = (node.actor::<Diary>("one"), node.actor::<Diary>("two"));
    desk.plan("open one", Turnout::Waits);
    let call = tokio::spawn(one.write().timeout(DEADLINE));
    eventually("it begins", || desk.has("open one")).await;
    let stops = node.stop_actor(&one, DEADLINE);
    let lets = async {
        tokio::task::yield_now().await;
        desk.gate.add_permits(1);
    };
    assert_eq!(tokio::join!(stops, lets), (true, ()));
    assert_eq!(call.await.expect("joins"), Ok(()));
    let whole = ["open one", "write one", "shut one Stopped", "was shut one"];
    assert_eq!(desk.events(), whole);
    two.write().await.expect("answers");
    node.stop().await;
    assert!(desk.has("was shut two"));
    assert!(desk.has("shut two Stopped") || desk.has("shut two Idle"));
    assert_eq!(desk.states.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_panics_or_is_aborted_does_not_end_in_order_and_begins_anew() {
    let (town, desk) = (Town::new(), Desk::new());
    let node = start(&town, &desk).await;
    let diary = node.actor::<Diary>("k");
    assert_eq!(code(diary.crash().await), Code::Panicked);
    let call = tokio::spawn(diary.hold().timeout(DEADLINE));
    eventually("it holds", || desk.has("held")).await;
    call.abort();
    diary.write().await.expect("answers");
    let events = desk.events();
    assert_eq!(events[..4], ["open k", "open k", "held", "open k"]);
    assert_eq!(events[4], "write k");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_actor_calls_when_it_begins_or_ends_belongs_to_its_chain() {
    let (town, desk) = (Town::new(), Desk::new());
    let node = start(&town, &desk).await;
    let diary = node.actor::<Diary>("k");
    desk.plan("open k", Turnout::Calls("other"));
    desk.plan("shut k", Turnout::Calls("third"));
    soon(diary.write()).await.expect("answers");
    let told = format!("told Ok(Some({:?}))", Code::CallCycle.text());
    assert_eq!(desk.count(&told), 1, "{:?}", desk.events());
    eventually("it is idle", || desk.has("was shut k")).await;
    assert_eq!(desk.count(&told), 2, "{:?}", desk.events());
    // The call that it begins for waits for what it calls, too.
    desk.plan("open fresh", Turnout::Calls("caller"));
    let caller = node.actor::<Diary>("caller");
    let called = soon(caller.calls("fresh".to_owned())).await;
    assert_eq!(called, Ok(None));
    let told = format!("told Err({:?})", Code::CallCycle);
    assert_eq!(desk.count(&told), 1, "{:?}", desk.events());
    node.stop().await;
}

/// Ends when the test lets it, and not before it is told to.
#[derive(Actor)]
#[actor(key = u32, idle = "1h")]
pub struct Lodger(Arc<Desk>);

#[handlers]
impl Lodger {
    #[handler(deactivate)]
    async fn leave(&mut self, ctx: &Ctx<Self>, reason: Deactivation) {
        self.0.note(format!("leaves {} {reason:?}", ctx.key()));
        self.0.pass().await;
    }

    pub fn ring(&self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_with_keys_end_beside_each_other_when_their_node_stops() {
    let (town, desk) = (Town::new(), Desk::new());
    let given = desk.clone();
    let node = diaries(&town, &desk).host_with::<Lodger>(move |_| Lodger(given.clone()));
    let node = node.call_limits(limits(DEADLINE)).start().await;
    let node = node.expect("starts");
    for key in 0..8_u32 {
        node.actor::<Lodger>(key).ring().await.expect("answers");
    }
    let stops = tokio::spawn(node.stop());
    let all = || (0..8).all(|key| desk.has(&format!("leaves {key} Stopped")));
    eventually("all are about to leave", all).await;
    desk.gate.add_permits(8);
    soon(stops).await.expect("stops");
}

/// Counts what becomes of it, without a key.
#[derive(Actor)]
#[actor(backoff = "1ms..2ms")]
pub struct Worker(Arc<Desk>);

#[handlers]
impl Worker {
    #[handler(activate)]
    fn begin(&self) {
        self.0.note("begin");
    }

    #[handler(deactivate)]
    fn end(&mut self, reason: Deactivation) {
        self.0.note(format!("end {reason:?}"));
    }

    pub fn crash(&mut self) {
        panic!("on purpose");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spawned_actor_begins_at_once_and_again_when_it_is_restarted() {
    let (town, desk) = (Town::new(), Desk::new());
    let node = start(&town, &desk).await;
    let given = desk.clone();
    let worker = node.spawn_with::<Worker>(move |_| Worker(given.clone()));
    eventually("it begins", || desk.count("begin") == 1).await;
    assert_eq!(code(worker.crash().await), Code::Panicked);
    eventually("it begins again", || desk.count("begin") == 2).await;
    assert!(node.stop_actor(&worker, DEADLINE).await);
    assert_eq!(desk.events(), ["begin", "begin", "end Stopped"]);
    node.stop().await;
}

#[contract(key = u32)]
pub trait Doors {
    fn knock(&self) -> bool;
}

/// Implements a contract, and begins by itself.
#[derive(Default, Actor)]
#[actor(contract = Doors)]
pub struct Door {
    is_open: bool,
}

#[handlers(contract = Doors)]
impl Door {
    #[handler(activate)]
    async fn open(&mut self, _: &Ctx<Self>) -> Result<(), std::fmt::Error> {
        self.is_open = true;
        Ok(())
    }

    pub fn knock(&self) -> bool {
        self.is_open
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_implementation_of_a_contract_begins_by_itself() {
    let town = Town::new();
    let node = town.node("n1").host::<Door>().start().await;
    let node = node.expect("starts");
    assert_eq!(node.actor::<Doors>(7_u32).knock().await, Ok(true));
    node.stop().await;
}

/// What the actors of a cluster leave in a test, by their types.
#[derive(Debug, Default)]
pub struct Ends(Mutex<Vec<(String, Deactivation)>>);

impl Ends {
    fn of(&self, kind: &str) -> Vec<Deactivation> {
        let ends = self.0.lock().expect("whole");
        let of_kind = ends.iter().filter(|(of, _)| of.starts_with(kind));
        of_kind.map(|(_, reason)| *reason).collect()
    }
}

/// Its state goes along.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover)]
pub struct Trunk {
    opened: u32,
    packed: u32,
}

#[handlers]
impl Trunk {
    #[handler(activate)]
    async fn open(&mut self, ctx: &Ctx<Self>) -> Result<(), String> {
        let says = ctx.service::<Porter>().lets(ctx.key().clone()).await;
        if !says.map_err(|error| error.to_string())? {
            return Err(format!("the porter does not let {} in", ctx.key()));
        }
        self.opened += 1;
        Ok(())
    }

    #[handler(deactivate)]
    async fn pack(&mut self, ctx: &Ctx<Self>, reason: Deactivation) {
        self.packed += 1;
        let porter = ctx.service::<Porter>();
        let _ = porter
            .ended("Trunk".to_owned(), format!("{reason:?}"))
            .await;
    }

    pub fn times(&self, ctx: &Ctx<Self>) -> (String, u32, u32) {
        (ctx.node_name().to_owned(), self.opened, self.packed)
    }
}

/// Its state does not go along.
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Bench;

#[handlers]
impl Bench {
    #[handler(deactivate)]
    async fn leave(&self, ctx: &Ctx<Self>, reason: Deactivation) {
        let porter = ctx.service::<Porter>();
        let _ = porter
            .ended("Bench".to_owned(), format!("{reason:?}"))
            .await;
    }

    pub fn home(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }
}

/// Hears of the ends of all actors.
#[derive(Service)]
pub struct Porter {
    ends: Arc<Ends>,
    barred: Arc<Mutex<Option<String>>>,
}

#[handlers]
impl Porter {
    pub fn lets(&self, key: String) -> bool {
        self.barred.lock().expect("whole").as_ref() != Some(&key)
    }

    pub fn ended(&self, kind: String, reason: String) {
        let reasons = [
            Deactivation::Idle,
            Deactivation::Evicted,
            Deactivation::Moved,
            Deactivation::Drained,
            Deactivation::Stopped,
        ];
        let reason = reasons.into_iter().find(|it| format!("{it:?}") == reason);
        let reason = reason.expect("a reason");
        self.ends.0.lock().expect("whole").push((kind, reason));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn actors_end_before_their_slots_go_and_begin_where_they_have_gone() {
    let (town, ends) = (Town::new(), Arc::<Ends>::default());
    let barred = Arc::<Mutex<Option<String>>>::default();
    let disks = tempfile::tempdir().expect("a folder for the test");
    let begin = |name: &str, seeds: Vec<SocketAddr>| {
        let (ends, barred) = (ends.clone(), barred.clone());
        let porter = move |_: &Ctx<Porter>| Porter {
            ends: ends.clone(),
            barred: barred.clone(),
        };
        let node = town.node(name).data_dir(disks.path().join(name));
        let node = node.profile(Profile::fast()).seeds(seeds);
        let node = node.host::<Trunk>().host::<Bench>().host_with(porter);
        let limits = limits(Duration::from_secs(20));
        node.call_limits(limits).bootstrap_expect(2)
    };
    let one = begin("n1", Vec::new()).start().await.expect("starts");
    let two = begin("n2", vec![one.local_addr()])
        .start()
        .await
        .expect("starts");
    for node in [&one, &two] {
        node.joined(DEADLINE).await.expect("a member");
    }
    let client: Client = town.client(two.local_addr()).await;
    let (mut trunks_here, mut benches_here) = (0, 0);
    for key in (0..24).map(|key| format!("k{key}")) {
        let trunk = client.actor::<Trunk>(&*key).times().timeout(DEADLINE);
        let (home, opened, packed) = trunk.await.expect("answers");
        assert_eq!((opened, packed), (1, 0));
        let bench = client.actor::<Bench>(&*key).home().timeout(DEADLINE);
        trunks_here += usize::from(home == "n1");
        benches_here += usize::from(bench.await.expect("answers") == "n1");
    }
    assert!(trunks_here > 0 && benches_here > 0);
    // A caller elsewhere is told of an actor that cannot begin as one here is.
    *barred.lock().expect("whole") = Some("late".to_owned());
    let error = client
        .actor::<Trunk>("late")
        .times()
        .timeout(DEADLINE)
        .await;
    let error = error.expect_err("it cannot begin");
    assert_eq!(error.code(), Code::ActivationFailed);
    assert!(error.detail().contains("does not let late in"), "{error}");

    one.drain(DEADLINE).await.expect("drained");
    let (trunks, benches) = (ends.of("Trunk"), ends.of("Bench"));
    assert_eq!(benches.len(), benches_here);
    // Some may have moved before, so that both have as many.
    assert!(trunks.len() >= trunks_here);
    assert!(
        trunks.iter().all(|it| *it == Deactivation::Moved),
        "{trunks:?}"
    );
    assert!(
        benches.iter().all(|it| *it == Deactivation::Drained),
        "{benches:?}"
    );
    let mut moved = 0;
    for key in (0..24).map(|key| format!("k{key}")) {
        let trunk = client.actor::<Trunk>(&*key).times().timeout(DEADLINE);
        let (home, opened, packed) = trunk.await.expect("answers");
        assert_eq!((home.as_str(), opened), ("n2", packed + 1), "{key}");
        moved += packed as usize;
    }
    assert_eq!(moved, trunks.len(), "what it did at its end went along");
    client.close().await;
    one.stop().await;
    two.stop().await;
}
