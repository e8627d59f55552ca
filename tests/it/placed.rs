//! Keyed actors whose keys are placed: nodes that are told by hand what a control group decides.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use callboard::{
    __private::WireShape,
    Actor, CallError, Code, Ctx, Incarnation, Node, NodeName, Profile, Wire,
    cluster::{Ownership, Placing},
    env::{Clock, Env},
    handlers,
    net::{Authority, PeerKind},
};
use callboard_protocol::{
    cluster::Word,
    id::{ClusterId, InterfaceId, NodeId},
    slots::{Command, Epoch, GroupId, Member, Owner, Settings, Slot, SlotCount, SlotId, State},
    time::Time,
};
use futures_util::future::{join_all, select_all};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::Notify;

use crate::support::{DEADLINE, Logged, SOON, Town, code, eventually};

/// What the turns of all nodes of a test leave.
#[derive(Debug, Default)]
struct Traces {
    turns: AtomicU64,
    sent: AtomicU64,
    closed: AtomicU64,
    entered: Notify,
    leave: Notify,
    inner: std::sync::Mutex<Option<Code>>,
}

/// Counts in memory; says where it lives.
#[derive(Actor)]
#[actor(key = String)]
pub struct Till {
    count: u32,
    traces: Arc<Traces>,
}

#[handlers]
impl Till {
    pub fn add(&mut self, ctx: &Ctx<Self>) -> (String, u32) {
        self.count += 1;
        self.traces.turns.fetch_add(1, Ordering::Relaxed);
        (ctx.node_name().to_owned(), self.count)
    }

    pub fn epoch(&self, ctx: &Ctx<Self>) -> Option<u64> {
        ctx.fence().map(|fence| fence.epoch().0)
    }

    pub fn note(&mut self) {
        self.traces.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub async fn hold(&mut self, ctx: &Ctx<Self>) -> u32 {
        self.traces.entered.notify_one();
        self.traces.leave.notified().await;
        let other = ctx.actor::<Till>("other").note().send().await;
        *self.traces.inner.lock().expect("whole") = other.err().map(|error| error.code());
        self.count
    }
}

/// Counts in memory that goes along with its slot.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover)]
pub struct Purse {
    count: u32,
}

#[handlers]
impl Purse {
    pub fn add(&mut self, ctx: &Ctx<Self>) -> (String, u32) {
        self.count += 1;
        (ctx.node_name().to_owned(), self.count)
    }

    /// Returns the numbers of the slot's group, of the slot, and of the epoch.
    pub fn place(&self, ctx: &Ctx<Self>) -> (u32, u32, u64) {
        let fence = ctx.fence().expect("it is placed");
        let id = fence.id();
        (id.group.0, id.slot.0, fence.epoch().0)
    }
}

/// Whoever reads it first panics.
#[derive(Default, Serialize)]
pub struct Brittle;

impl<'de> Deserialize<'de> for Brittle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer)?;
        let reads = READS.fetch_add(1, Ordering::Relaxed);
        assert_ne!(reads, 0, "the test has it fail");
        Ok(Self)
    }
}

impl Wire for Brittle {
    fn describe(shape: &mut WireShape) {
        shape.opaque("brittle/1");
    }
}

static READS: AtomicUsize = AtomicUsize::new(0);

/// Counts in memory that goes along with its slot, and can not always be read.
#[derive(Default, Wire, Actor)]
#[actor(key = String, handover, backoff = "1h..2h")]
pub struct Casket {
    count: u32,
    brittle: Brittle,
}

#[handlers]
impl Casket {
    pub fn add(&mut self, ctx: &Ctx<Self>) -> (String, u32) {
        self.count += 1;
        (ctx.node_name().to_owned(), self.count)
    }
}

/// Begins when the test lets it.
#[derive(Actor)]
#[actor(key = String, idle = "1ms")]
pub struct Ledger {
    traces: Arc<Traces>,
}

#[handlers]
impl Ledger {
    #[handler(activate)]
    async fn open(&mut self, ctx: &Ctx<Self>) {
        assert!(ctx.fence().is_some(), "it is bound to its slot");
        self.traces.entered.notify_one();
        self.traces.leave.notified().await;
        let other = ctx.actor::<Till>("other").note().send().await;
        *self.traces.inner.lock().expect("whole") = other.err().map(|error| error.code());
    }

    #[handler(deactivate)]
    fn close(&mut self) {
        self.traces.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) {
        self.traces.turns.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the leader of a control group would do, for nodes of this process.
struct Council {
    state: State,
    placing: Placing,
    members: BTreeMap<&'static str, Arc<Ownership>>,
    now: Time,
}

impl Council {
    fn new() -> Self {
        let mut state = State::new();
        let slots = SlotCount::new(64).expect("a power of two");
        let form = Command::Form {
            cluster: ClusterId(7),
            slots,
            settings: Settings::default(),
        };
        state.apply(&form).expect("the first");
        let mut placing = Placing::new(Duration::from_secs(3));
        placing.handle_leading(&state, Time::ZERO);
        Self {
            state,
            placing,
            members: BTreeMap::new(),
            now: Time::ZERO,
        }
    }

    /// Starts a node that is a member with a lease for good.
    async fn start(
        &mut self,
        town: &Town,
        name: &'static str,
        traces: &Arc<Traces>,
        seed: Option<SocketAddr>,
    ) -> Node {
        self.start_in(Env::real(), town, name, traces, seed).await
    }

    async fn start_in(
        &mut self,
        env: Env,
        town: &Town,
        name: &'static str,
        traces: &Arc<Traces>,
        seed: Option<SocketAddr>,
    ) -> Node {
        let ownership = Arc::new(Ownership::new(owner(name)));
        ownership.handle_lease(Time::MAX, Time::MAX);
        let (traces, given) = (traces.clone(), traces.clone());
        let make = move |_: &Ctx<Till>| Till {
            count: 0,
            traces: traces.clone(),
        };
        let open = move |_: &Ctx<Ledger>| Ledger {
            traces: given.clone(),
        };
        let builder = town.node(name).seeds(seed).host_with::<Till>(make);
        let node = builder
            .host::<Purse>()
            .host::<Casket>()
            .host_with::<Ledger>(open)
            .env(env)
            .ownership(ownership.clone())
            .start()
            .await;
        self.members.insert(name, ownership);
        let member = Member {
            name: NodeName::new(name).expect("a name"),
            incarnation: LIFE,
            disk: None,
            addr: "127.0.0.1:1".parse().expect("an address"),
            zone: String::new(),
            roles: BTreeSet::new(),
            labels: BTreeMap::new(),
            hosts: ["Till", "Purse", "Casket", "Ledger"]
                .map(InterfaceId::of)
                .into(),
            movable: ["Purse", "Casket"].map(InterfaceId::of).into(),
            lacks: BTreeMap::new(),
            version: 1,
            weight: 100,
        };
        self.apply(&Command::Join {
            cluster: ClusterId(7),
            member: Box::new(member),
            heir_of: None,
        });
        node.expect("starts")
    }

    fn apply(&mut self, command: &Command) {
        for event in self.state.apply(command).unwrap_or_default() {
            self.placing.handle_event(&event, &self.state, self.now);
        }
    }

    /// Tells a member what has changed.
    fn tell(&self, name: &str) {
        let ownership = &self.members[name];
        let news = self.state.since(ownership.version(), usize::MAX);
        let told = ownership.handle_delta(&news.expect("formed"));
        told.expect("fits");
    }

    /// Decides what there is to decide, and tells everybody, until nothing is left to do.
    async fn settle(&mut self) {
        loop {
            for (name, ownership) in &self.members {
                for word in ownership.words() {
                    if let Word::Stopped { id, epoch } = word {
                        let by = owner(name);
                        self.placing.handle_stopped(id, epoch, by, self.now);
                    }
                }
            }
            while let Some(command) = self.placing.poll_command(&self.state, self.now) {
                self.apply(&command);
            }
            for name in self.members.keys() {
                self.tell(name);
            }
            match self.placing.next_deadline() {
                None => return,
                // Its own time, so that plans need no waiting; a move waits for its owner's word.
                Some(due) if self.placing.under_way() == 0 => self.now = self.now.max(due),
                Some(_) => {
                    let said = self.members.values().map(|it| Box::pin(it.said()));
                    select_all(said).await;
                }
            }
        }
    }
}

/// The life of every member, as the council has it: later than any that a clock counts, so that the
/// nodes, which count theirs by one, are not taken for others that came after it.
const LIFE: Incarnation = Incarnation(u64::MAX / 2);

fn owner(name: &str) -> Owner {
    Owner {
        node: NodeId::of(&NodeName::new(name).expect("a name")),
        incarnation: LIFE,
    }
}

async fn linked(nodes: &[&Node]) {
    let all = nodes.len() - 1;
    let up = || nodes.iter().all(|node| node.members().len() == all);
    eventually("the nodes are linked", up).await;
}

async fn two(town: &Town, traces: &Arc<Traces>) -> (Council, Node, Node) {
    let mut council = Council::new();
    let one = council.start(town, "one", traces, None).await;
    let seed = Some(one.local_addr());
    let two = council.start(town, "two", traces, seed).await;
    linked(&[&one, &two]).await;
    council.settle().await;
    (council, one, two)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_has_one_activation_whichever_node_is_asked() {
    let (town, traces) = (Town::new(), Arc::default());
    let (_council, one, two) = two(&town, &traces).await;
    let mut homes = BTreeSet::new();
    for key in 0..16 {
        let key = format!("k{key}");
        let (home, first) = one.actor::<Till>(&*key).add().await.expect("answers");
        let again = two.actor::<Till>(&*key).add().await.expect("answers");
        assert_eq!((first, &again), (1, &(home.clone(), 2)), "{key}");
        homes.insert(home);
    }
    assert_eq!(homes.len(), 2, "the slots are shared");
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_all_slots_of_a_node_move() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let (mut council, one, two) = two(&town, &traces).await;
    let over = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicUsize::new(0));
    let callers = (0..8).map(|caller| {
        let node = if caller % 2 == 0 { &one } else { &two };
        let tills: Vec<_> = (0..16)
            .map(|key| node.actor::<Till>(format!("k{key}")))
            .collect();
        let (over, calls) = (over.clone(), calls.clone());
        tokio::spawn(async move {
            while !over.load(Ordering::Relaxed) {
                for till in &tills {
                    till.add().await?;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok::<_, CallError>(())
        })
    });
    let callers: Vec<_> = callers.collect();
    eventually("calls are under way", || {
        calls.load(Ordering::Relaxed) > 200
    })
    .await;
    council.apply(&Command::Drain(owner("one")));
    council.settle().await;
    assert_eq!(council.state.slots_of(owner("one")), 0);
    let before = calls.load(Ordering::Relaxed);
    eventually("calls go on", || {
        calls.load(Ordering::Relaxed) > before + 200
    })
    .await;
    over.store(true, Ordering::Relaxed);
    for ended in join_all(callers).await {
        ended.expect("no panic").expect("no call fails");
    }
    let ran = usize::try_from(traces.turns.load(Ordering::Relaxed)).expect("few");
    assert_eq!(ran, calls.load(Ordering::Relaxed), "each ran once");
    let (home, _) = one.actor::<Till>("k0").add().await.expect("answers");
    assert_eq!(home, "two");
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_knows_the_epoch_of_its_slot_and_a_new_owner_a_higher_one() {
    let till = Till {
        count: 0,
        traces: Arc::default(),
    };
    assert_eq!(till.epoch(&Ctx::test("k")), None, "nothing places keys");
    let (town, traces) = (Town::new(), Arc::default());
    let (mut council, one, two) = two(&town, &traces).await;
    let mut keys = (0..).map(|key| one.actor::<Till>(format!("k{key}")));
    let till = loop {
        let till = keys.next().expect("endless");
        if till.add().await.expect("answers").0 == "one" {
            break till;
        }
    };
    let before = till.epoch().await.expect("answers").expect("placed");
    council.apply(&Command::Drain(owner("one")));
    council.settle().await;
    let after = till.epoch().await.expect("answers").expect("placed");
    assert!(after > before, "{before} {after}");
    two.stop().await;
    one.stop().await;
}

fn purses(node: &Node) -> Vec<PurseRef> {
    let keys = (0..16).map(|key| format!("k{key}"));
    keys.map(|key| node.actor::<Purse>(key)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_goes_along_with_its_slot_whether_or_not_the_key_is_called_in_between() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let (mut council, one, two) = two(&town, &traces).await;
    let purses = purses(&two);
    for count in 1..=3 {
        for purse in &purses {
            assert_eq!(purse.add().await.expect("answers").1, count);
        }
    }
    council.apply(&Command::Drain(owner("one")));
    council.settle().await;
    let seed = Some(one.local_addr());
    let three = council.start(&town, "three", &traces, seed).await;
    linked(&[&one, &two, &three]).await;
    let (called, others) = purses.split_at(8);
    for purse in called {
        let answer = purse.add().await.expect("answers");
        assert_eq!(answer, ("two".to_owned(), 4));
    }
    council.apply(&Command::Drain(owner("two")));
    council.settle().await;
    for purse in called {
        let answer = purse.add().await.expect("answers");
        assert_eq!(answer, ("three".to_owned(), 5));
    }
    for purse in others {
        let answer = purse.add().await.expect("answers");
        assert_eq!(answer, ("three".to_owned(), 4));
    }
    let given = "callboard_states_given_total 16";
    assert!(two.metrics().contains(given), "{}", two.metrics());
    assert!(one.metrics().contains("callboard_states_lost_total 0"));
    for node in [three, two, one] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_came_goes_on_from_an_actor_that_was_stopped_before_its_first_turn() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let (mut council, one, two) = two(&town, &traces).await;
    let mut keys = (0..).map(|key| one.actor::<Casket>(format!("k{key}")));
    let casket = loop {
        let casket = keys.next().expect("endless");
        if casket.add().await.expect("answers").0 == "one" {
            break casket;
        }
    };
    council.apply(&Command::Drain(owner("one")));
    council.settle().await;
    // It can not begin there, and its guardian waits before it lets it try again.
    let call = tokio::spawn(async move { casket.add().timeout(DEADLINE).await });
    eventually("it is tried", || READS.load(Ordering::Relaxed) == 1).await;
    let seed = Some(one.local_addr());
    let three = council.start(&town, "three", &traces, seed).await;
    linked(&[&one, &two, &three]).await;
    council.apply(&Command::Drain(owner("two")));
    council.settle().await;
    let answer = call.await.expect("no panic").expect("answers");
    assert_eq!(answer, ("three".to_owned(), 2));
    for node in [three, two, one] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_along_stays_when_the_node_that_its_slot_goes_to_dies_on_the_way() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let (mut council, one, two) = two(&town, &traces).await;
    let mut keys = (0..).map(|key| format!("k{key}"));
    let (key, purse) = loop {
        let key = keys.next().expect("endless");
        let purse = one.actor::<Purse>(&*key);
        if purse.add().await.expect("answers").0 == "one" {
            break (key, purse);
        }
    };
    let (group, slot, epoch) = purse.place().await.expect("answers");
    drop(two);
    council.members.remove("two");
    eventually("the loss is noticed", || one.members().is_empty()).await;
    let id = SlotId {
        group: GroupId(group),
        slot: Slot(slot),
    };
    let (epoch, to) = (Epoch(epoch), owner("two"));
    // One that does not know of the move yet.
    let far = council
        .start(&town, "far", &traces, Some(one.local_addr()))
        .await;
    linked(&[&one, &far]).await;
    council.tell("far");
    council.apply(&Command::Move { id, epoch, to });
    council.tell("one");
    let refused = purse.add().timeout(Duration::from_millis(50)).await;
    refused.expect_err("the slot is on its way");
    let of_far = far.actor::<Purse>(key.as_str());
    for _ in 0..3 {
        let sent = of_far.add().send().await;
        sent.expect("it is taken along");
    }
    // It comes behind them, and is made again until the slot is somewhere.
    let behind = tokio::spawn(async move { of_far.add().timeout(DEADLINE).await });
    let refused = "callboard_served_errors_total{method=\"Purse/add\",code=\"CB1033\"}";
    eventually("all have come", || one.metrics().contains(refused)).await;
    council.apply(&Command::Lapse(to));
    council.apply(&Command::Abort { id, epoch });
    council.tell("one");
    council.tell("far");
    let answer = behind.await.expect("no panic").expect("answers");
    assert_eq!(answer, ("one".to_owned(), 5), "each has run once");
    let (_, _, now) = purse.place().await.expect("answers");
    assert_eq!(now, epoch.0 + 1);
    assert!(one.metrics().contains("callboard_sends_forwarded_total 0"));
    for node in [far, one] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_slots_whose_state_goes_along_are_moved_to_a_node_that_joins() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let mut council = Council::new();
    let one = council.start(&town, "one", &traces, None).await;
    council.settle().await;
    let all = council.state.slots_of(owner("one"));
    for purse in purses(&one) {
        purse.add().await.expect("answers");
    }
    let seed = Some(one.local_addr());
    let two = council.start(&town, "two", &traces, seed).await;
    linked(&[&one, &two]).await;
    council.settle().await;
    let moved = council.state.slots_of(owner("two"));
    assert_eq!(moved, all / 4, "half of two of the four types");
    let mut homes = BTreeSet::new();
    for purse in purses(&one) {
        let (home, count) = purse.add().await.expect("answers");
        assert_eq!(count, 2);
        homes.insert(home);
    }
    assert_eq!(homes.len(), 2);
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_answers_again_when_its_node_is_lost() {
    let (town, traces) = (Town::new(), Arc::default());
    let (mut council, one, two) = two(&town, &traces).await;
    drop(two);
    council.members.remove("two");
    eventually("the loss is noticed", || one.members().is_empty()).await;
    let keys: Vec<_> = (0..16)
        .map(|key| one.actor::<Till>(format!("k{key}")))
        .collect();
    let calls = join_all(keys.iter().map(|key| key.add().timeout(SOON)));
    let (answers, ()) = tokio::join!(calls, async {
        council.apply(&Command::Lapse(owner("two")));
        council.settle().await;
    });
    for answer in answers {
        assert_eq!(answer.expect("answers").0, "one");
    }
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_turn_made_does_not_leave_when_its_lease_has_ended() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let (council, one, two) = two(&town, &traces).await;
    for (home, caller) in [("one", &two), ("one", &one)] {
        let mut keys = (0..).map(|key| format!("k{key}"));
        let till = loop {
            let till = caller.actor::<Till>(keys.next().expect("endless"));
            if till.add().await.expect("answers").0 == home {
                break till;
            }
        };
        let held = tokio::spawn(async move { till.hold().await });
        traces.entered.notified().await;
        council.members[home].handle_lease(Time::ZERO, Time::ZERO);
        traces.leave.notify_one();
        assert_eq!(code(held.await.expect("no panic")), Code::LeaseLost);
        let inner = traces.inner.lock().expect("whole").take();
        assert_eq!(inner, Some(Code::Moved), "nor does a send of it");
        council.members[home].handle_lease(Time::MAX, Time::MAX);
    }
    two.stop().await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_begins_while_the_lease_ends_runs_no_turn_and_lets_nothing_out() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let mut council = Council::new();
    let one = council.start(&town, "one", &traces, None).await;
    council.settle().await;
    let ledger = one.actor::<Ledger>("k");
    let read = tokio::spawn(ledger.read().timeout(Duration::from_millis(500)));
    traces.entered.notified().await;
    council.members["one"].handle_lease(Time::ZERO, Time::ZERO);
    traces.leave.notify_one();
    // It is looked for elsewhere, and there is no other node.
    assert_eq!(code(read.await.expect("no panic")), Code::SlotUnowned);
    let inner = traces.inner.lock().expect("whole").take();
    assert_eq!(inner, Some(Code::Moved), "nor does a send of it");
    // It is idle long since, and may not act at its end either.
    let all = [&traces.turns, &traces.sent, &traces.closed];
    assert_eq!(all.map(|it| it.load(Ordering::Relaxed)), [0; 3]);
    council.members["one"].handle_lease(Time::MAX, Time::MAX);
    let read = tokio::spawn(ledger.read().timeout(DEADLINE));
    traces.entered.notified().await;
    traces.leave.notify_one();
    assert_eq!(read.await.expect("no panic"), Ok(()));
    let ended = || traces.closed.load(Ordering::Relaxed) == 1;
    eventually("it ends in order", ended).await;
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_when_the_lease_of_its_node_has_ended_though_the_link_is_up() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let (mut council, one, two) = two(&town, &traces).await;
    let mut keys = (0..).map(|key| format!("k{key}"));
    let till = loop {
        let till = one.actor::<Till>(keys.next().expect("endless"));
        if till.add().await.expect("answers").0 == "two" {
            break till;
        }
    };
    let held = till.clone();
    let held = tokio::spawn(async move { held.hold().timeout(DEADLINE).await });
    traces.entered.notified().await;
    // What two knows stays as it was: it may be paused, or cut off from the leader alone.
    council.members.remove("two");
    council.apply(&Command::Lapse(owner("two")));
    council.settle().await;
    let ended = tokio::time::timeout(SOON, held).await;
    let ended = ended.expect("long before its deadline").expect("no panic");
    assert_eq!(code(ended), Code::LeaseLost);
    assert_eq!(one.members().len(), 1, "the link is up");
    let (home, _) = till.add().await.expect("answers");
    assert_eq!(home, "one");
    traces.leave.notify_one();
    two.stop().await;
    one.stop().await;
}

/// The clocks of a machine that is suspended now and then.
#[derive(Debug)]
struct Suspended {
    clock: Arc<dyn Clock>,
    for_secs: AtomicU64,
}

impl Clock for Suspended {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn since_boot(&self) -> Duration {
        let suspended = Duration::from_secs(self.for_secs.load(Ordering::SeqCst));
        self.clock.since_boot() + suspended
    }

    fn wall(&self) -> SystemTime {
        self.clock.wall()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_has_ended_when_a_machine_wakes_that_was_suspended_for_longer() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let mut env = Env::real();
    let clock = Arc::new(Suspended {
        clock: env.clock.clone(),
        for_secs: AtomicU64::new(0),
    });
    env.clock = clock.clone();
    let mut council = Council::new();
    let one = council.start_in(env, &town, "one", &traces, None).await;
    council.settle().await;
    let lease = [Time::from_millis(600_000), Time::from_millis(601_000)];
    council.members["one"].handle_lease(lease[0], lease[1]);
    let till = one.actor::<Till>("k");
    let held = tokio::spawn(till.hold());
    traces.entered.notified().await;
    clock.for_secs.store(3600, Ordering::SeqCst);
    traces.leave.notify_one();
    assert_eq!(code(held.await.expect("no panic")), Code::LeaseLost);
    let turns = traces.turns.load(Ordering::Relaxed);
    let within = Duration::from_millis(50);
    for key in ["k", "never activated before"] {
        let call = one.actor::<Till>(key).add().timeout(within);
        let error = call.await.expect_err("no lease");
        assert_eq!(error.code(), Code::SlotUnowned);
        assert!(error.detail().contains("CB1033"), "{error}");
    }
    assert_eq!(traces.turns.load(Ordering::Relaxed), turns);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_slot_nobody_owns_waits_for_an_owner_and_says_so_at_its_deadline() {
    let (town, traces) = (Town::new(), Arc::default());
    let mut council = Council::new();
    let one = council.start(&town, "one", &traces, None).await;
    let till = one.actor::<Till>("k");
    let within = Duration::from_millis(50);
    let error = till.add().timeout(within).await.expect_err("no owner");
    assert_eq!(error.code(), Code::SlotUnowned);
    assert!(error.detail().contains("no table of slots"), "{error}");
    let (answer, ()) = tokio::join!(till.add(), council.settle());
    assert_eq!(answer, Ok(("one".to_owned(), 1)));
    council.members["one"].handle_lease(Time::ZERO, Time::ZERO);
    let error = till.add().timeout(within).await.expect_err("no lease");
    assert_eq!(error.code(), Code::SlotUnowned);
    assert!(error.detail().contains("CB1033"), "{error}");
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_answers_again_when_a_node_of_a_formed_cluster_is_lost() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let disks = tempfile::tempdir().expect("a folder for the test");
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let traces = traces.clone();
        let make = move |_: &Ctx<Till>| Till {
            count: 0,
            traces: traces.clone(),
        };
        let seeds = nodes.iter().map(Node::local_addr);
        let builder = town.node(name).seeds(seeds).profile(Profile::fast());
        let builder = builder
            .data_dir(disks.path().join(name))
            .bootstrap_expect(3);
        let node = builder.host_with::<Till>(make).start().await;
        nodes.push(node.expect("starts"));
    }
    let tills = |node: &Node| -> Vec<_> {
        let keys = (0..24).map(|key| format!("k{key}"));
        keys.map(|key| node.actor::<Till>(key)).collect()
    };
    for node in &nodes {
        for till in tills(node) {
            till.add().timeout(DEADLINE).await.expect("answers");
        }
    }
    let lost = nodes.remove(2);
    drop(lost);
    let up = || nodes.iter().all(|node| node.members().len() == 1);
    eventually("the loss is noticed", up).await;
    for node in &nodes {
        for till in tills(node) {
            let (home, _) = till.add().timeout(DEADLINE).await.expect("answers again");
            assert_ne!(home, "n3");
        }
    }
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_know_whether_keys_are_placed_activates_none() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let started = |name: &'static str, seed: Option<SocketAddr>| {
        let traces = traces.clone();
        let make = move |_: &Ctx<Till>| Till {
            count: 0,
            traces: traces.clone(),
        };
        town.node(name).seeds(seed).host_with::<Till>(make)
    };
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let alone = started("alone", nobody.local_addr().ok()).start().await;
    let alone = alone.expect("starts");
    let call = alone.actor::<Till>("k").add();
    let error = call.timeout(Duration::from_millis(100)).await;
    let error = error.expect_err("nobody to ask");
    assert_eq!(error.code(), Code::SlotUnowned, "{error}");
    // The reason and what to do are told once, though the last try came to the same.
    let text = error.to_string();
    for part in [
        "whether there is a control group",
        "bootstrap_expect",
        "CB1034",
    ] {
        assert_eq!(text.matches(part).count(), 1, "{part}: {text}");
    }

    // One without seeds knows, and whoever joins it hears so in its hello.
    let first = started("first", None).start().await.expect("starts");
    let (home, _) = first.actor::<Till>("k").add().await.expect("answers");
    assert_eq!(home, "first");
    let second = started("second", Some(first.local_addr())).start().await;
    let second = second.expect("starts");
    let (home, _) = second.actor::<Till>("k").add().await.expect("answers");
    assert_eq!(home, "second");
    for node in [second, first, alone] {
        node.stop().await;
    }
}

#[tokio::test]
async fn calls_that_wait_for_an_owner_are_told_once_before_their_deadlines() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let (town, traces) = (Town::new(), Arc::default());
    let mut council = Council::new();
    let one = council.start(&town, "one", &traces, None).await;
    let calls = ["k", "l", "m"].map(|key| tokio::spawn(one.actor::<Till>(key).add()));
    let told = || logged.count("calls wait for an owner of their key");
    eventually("it is told", || told() == 1).await;
    assert_eq!(
        logged.count("no table of slots has come from the control group"),
        1
    );
    assert!(!calls.iter().any(tokio::task::JoinHandle::is_finished));
    council.settle().await;
    for call in calls {
        assert!(call.await.expect("joins").is_ok());
    }
    assert_eq!(told(), 1);
    one.stop().await;
}

#[tokio::test]
async fn nodes_that_each_activate_the_same_keys_are_warned_of_once() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let started = |name: &'static str, seed: Option<SocketAddr>| {
        let traces = traces.clone();
        let make = move |_: &Ctx<Till>| Till {
            count: 0,
            traces: traces.clone(),
        };
        town.node(name).seeds(seed).host_with::<Till>(make)
    };
    let other = town.node("other").start().await.expect("starts");
    let seed = Some(other.local_addr());
    let first = started("first", seed).start().await.expect("starts");
    linked(&[&other, &first]).await;
    let warned = || logged.count("bootstrap_expect");
    assert_eq!(first.actor::<Till>("k").add().await.expect("runs").1, 1);
    assert_eq!(warned(), 0, "only one hosts the type");
    let second = started("second", seed).start().await.expect("starts");
    linked(&[&other, &first, &second]).await;
    eventually("both are warned of", || warned() == 2).await;
    let third = started("third", seed).start().await.expect("starts");
    linked(&[&other, &first, &second, &third]).await;
    eventually("so is the next one", || warned() == 3).await;
    for node in [third, second, first, other] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_meets_a_cluster_activates_no_key_before_it_knows_the_tables() {
    let (town, traces) = (Town::new(), Arc::<Traces>::default());
    let mut council = Council::new();
    let one = council.start(&town, "one", &traces, None).await;
    council.settle().await;
    let (home, _) = one.actor::<Till>("k").add().await.expect("answers");
    assert_eq!(home, "one");
    // It was alone, and so activates the key itself, until the link with a node of the cluster is up.
    let kept = traces.clone();
    let make = move |_: &Ctx<Till>| Till {
        count: 0,
        traces: kept.clone(),
    };
    let builder = town.node("late").host_with::<Till>(make);
    let late = builder.start().await.expect("starts");
    let own = late.actor::<Till>("k");
    assert_eq!(own.add().await.expect("answers").0, "late");
    let seed = late.local_addr();
    let two = council.start(&town, "two", &traces, Some(seed)).await;
    linked(&[&late, &two]).await;
    let turns = traces.turns.load(Ordering::Relaxed);
    for key in ["k", "another"] {
        let call = late.actor::<Till>(key).add();
        let error = call.timeout(Duration::from_millis(100)).await;
        let error = error.expect_err("its owner is not known here");
        assert_eq!(error.code(), Code::SlotUnowned, "{error}");
        assert!(error.detail().contains("no table of slots"), "{error}");
    }
    assert_eq!(traces.turns.load(Ordering::Relaxed), turns);
    for node in [two, late, one] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_development_node_whose_seeds_do_not_run_goes_alone_until_it_meets_a_cluster() {
    let traces = Arc::<Traces>::default();
    let development = Authority::development(&Env::real()).expect("an authority");
    let started = |name: &str| {
        let name = NodeName::new(name).expect("a name");
        let identity = development.issue(name, PeerKind::Node).expect("issued");
        let traces = traces.clone();
        let make = move |_: &Ctx<Till>| Till {
            count: 0,
            traces: traces.clone(),
        };
        Node::builder().identity(identity).host_with::<Till>(make)
    };
    let nobody = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let addr = nobody.local_addr().expect("bound");
    let alone = started("alone").seed(addr).start().await.expect("starts");
    let own = alone.actor::<Till>("k");
    assert_eq!(own.add().await, Ok(("alone".to_owned(), 1)));
    assert_eq!(own.add().await, Ok(("alone".to_owned(), 2)));

    let disk = tempfile::tempdir().expect("a folder for the test");
    drop(nobody);
    let first = started("first").listen(addr).profile(Profile::fast());
    let first = first.data_dir(disk.path()).bootstrap_expect(1);
    let first = first.start().await.expect("starts");
    first.joined(DEADLINE).await.expect("formed");
    linked(&[&alone, &first]).await;
    // The state that it made ends, and whoever owns the slot begins anew.
    let (home, count) = own.add().timeout(DEADLINE).await.expect("answers");
    assert_eq!((home.is_empty(), count), (false, 1));
    assert_eq!(first.actor::<Till>("k").add().await, Ok((home, 2)));
    for node in [first, alone] {
        node.stop().await;
    }
}

/// How many states of one key there are at a time.
#[derive(Debug, Default)]
struct States {
    now: AtomicUsize,
    most: AtomicUsize,
    ends: Notify,
}

/// Takes its time to go.
#[derive(Actor)]
#[actor(key = String, idle = "1ms")]
pub struct Lingering(Arc<States>);

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.ends.notify_one();
        // The call comes while the state goes.
        std::thread::sleep(Duration::from_millis(50));
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[handlers]
impl Lingering {
    pub fn touch(&self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_never_has_two_states_not_even_while_an_idle_one_goes() {
    let (town, states) = (Town::new(), Arc::<States>::default());
    let kept = states.clone();
    let make = move |_: &Ctx<Lingering>| {
        let now = kept.now.fetch_add(1, Ordering::SeqCst) + 1;
        kept.most.fetch_max(now, Ordering::SeqCst);
        Lingering(kept.clone())
    };
    let node = town.node("one").host_with::<Lingering>(make).start().await;
    let node = node.expect("starts");
    let lingering = node.actor::<Lingering>("k");
    for _ in 0..3 {
        lingering.touch().await.expect("answers");
        states.ends.notified().await;
        lingering.touch().await.expect("answers");
    }
    assert_eq!(states.most.load(Ordering::SeqCst), 1);
    node.stop().await;
}
