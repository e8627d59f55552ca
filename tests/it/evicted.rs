//! Nodes that hold as many actors of a type as they may.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use callboard::{
    Actor, CallError, CallLimits, Code, Ctx, Deactivation, Eviction, Node, handlers,
    prelude::Stream,
};
use futures_util::{StreamExt, stream};
use tokio::sync::{Notify, Semaphore};

use crate::support::{DEADLINE, Town, code, eventually, soon};

/// What the lockers of a test leave.
#[derive(Debug, Default)]
struct Hall {
    states: AtomicUsize,
    states_max: AtomicUsize,
    ends: Mutex<Vec<(u32, Deactivation)>>,
    /// How many of each key there are.
    keys: Mutex<BTreeMap<u32, usize>>,
    entered: AtomicUsize,
    leave: Notify,
}

impl Hall {
    fn ended(&self) -> Vec<u32> {
        let ends = self.ends.lock().expect("whole");
        assert!(ends.iter().all(|(_, why)| *why == Deactivation::Evicted));
        ends.iter().map(|(key, _)| *key).collect()
    }
}

#[derive(Actor)]
#[actor(key = u32, idle = "1h")]
pub struct Locker {
    hall: Arc<Hall>,
    /// What its end waits for.
    lets: Arc<Semaphore>,
    key: u32,
    opened: u32,
}

impl Drop for Locker {
    fn drop(&mut self) {
        self.hall.states.fetch_sub(1, Ordering::SeqCst);
        let mut keys = self.hall.keys.lock().expect("whole");
        *keys.entry(self.key).or_default() -= 1;
    }
}

#[handlers]
impl Locker {
    #[handler(deactivate)]
    async fn clear(&mut self, ctx: &Ctx<Self>, reason: Deactivation) {
        let _lets = self.lets.acquire().await;
        let mut ends = self.hall.ends.lock().expect("whole");
        ends.push((*ctx.key(), reason));
    }

    pub fn open(&mut self) -> u32 {
        self.opened += 1;
        self.opened
    }

    pub async fn hold(&self) {
        let leave = self.hall.leave.notified();
        self.hall.entered.fetch_add(1, Ordering::SeqCst);
        leave.await;
    }

    #[handler(timeout = "none")]
    pub fn watch(&self) -> impl Stream<Item = u32> + use<> {
        stream::iter([self.opened]).chain(stream::pending())
    }
}

async fn start(town: &Town, hall: &Arc<Hall>, lets: &Arc<Semaphore>, limits: CallLimits) -> Node {
    let (hall, lets) = (hall.clone(), lets.clone());
    let make = move |ctx: &Ctx<Locker>| {
        let now = hall.states.fetch_add(1, Ordering::SeqCst) + 1;
        hall.states_max.fetch_max(now, Ordering::SeqCst);
        let key = *ctx.key();
        let mut keys = hall.keys.lock().expect("whole");
        let of_key = keys.entry(key).or_default();
        *of_key += 1;
        assert_eq!(*of_key, 1, "two states of {key}");
        Locker {
            hall: hall.clone(),
            lets: lets.clone(),
            key,
            opened: 0,
        }
    };
    let node = town.node("n1").host_with::<Locker>(make);
    node.call_limits(limits).start().await.expect("starts")
}

fn limits(activations_max: usize) -> CallLimits {
    let mut limits = CallLimits::default();
    limits.activations_max = activations_max;
    // Twice as long as the longest end of a test.
    limits.turn_limit = DEADLINE;
    limits
}

/// Lets all end at once.
fn open() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1000))
}

/// Makes the call again, as its error says, while those that make room have not ended: how soon they are run is up to the
/// machine.
async fn open_when_there_is_room(node: &Node, key: u32) -> Result<u32, CallError> {
    let until = Instant::now() + DEADLINE;
    loop {
        let answer = node.actor::<Locker>(key).open().timeout(DEADLINE).await;
        match answer {
            Err(error) if error.code() == Code::MailboxFull && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            answer => return answer,
        }
    }
}

fn evicted(node: &Node) -> String {
    let metrics = node.metrics();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("callboard_actors_evicted_total"));
    line.unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_as_many_keys_as_a_node_may_hold_all_answer() {
    let (town, hall) = (Town::new(), Arc::<Hall>::default());
    let most = 40;
    let node = start(&town, &hall, &open(), limits(most)).await;
    let keys = stream::iter(0..10 * most as u32);
    let calls = keys.map(|key| open_when_there_is_room(&node, key));
    let answers: Vec<_> = calls.buffered(8).collect().await;
    assert_eq!(answers.len(), 10 * most);
    assert!(answers.iter().all(|it| *it == Ok(1)), "{answers:?}");
    let states_max = hall.states_max.load(Ordering::SeqCst);
    assert!((most..=2 * most).contains(&states_max), "{states_max}");
    eventually("the rest has gone", || {
        hall.states.load(Ordering::SeqCst) <= most
    })
    .await;
    let gone = hall.ended().len();
    assert_eq!(gone, 9 * most, "as many as there was no room for");
    let line = format!("callboard_actors_evicted_total{{actor=\"Locker\"}} {gone}");
    assert_eq!(evicted(&node), line);
    // One that has made room begins anew.
    assert_eq!(node.actor::<Locker>(0_u32).open().await, Ok(1));
    node.stop().await;
    assert_eq!(hall.states.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_that_was_used_least_recently_makes_room() {
    let (town, hall) = (Town::new(), Arc::<Hall>::default());
    let node = start(&town, &hall, &open(), limits(3)).await;
    let opened = async |key: u32| node.actor::<Locker>(key).open().await.expect("answers");
    for key in [1, 2, 3, 1] {
        opened(key).await;
        // Turns are told apart by the microsecond.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for (further, gone) in [(4, 2), (5, 3)] {
        assert_eq!(opened(further).await, 1);
        eventually("it has made room", || hall.ended().last() == Some(&gone)).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(opened(1).await, 3, "it has stayed");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_something_to_do_makes_no_room() {
    let (town, hall) = (Town::new(), Arc::<Hall>::default());
    let node = start(&town, &hall, &open(), limits(2)).await;
    let held = tokio::spawn(node.actor::<Locker>(1_u32).hold().timeout(DEADLINE));
    eventually("it runs", || hall.entered.load(Ordering::SeqCst) == 1).await;
    let mut watched = node.actor::<Locker>(2_u32).watch().await.expect("a stream");
    assert_eq!(watched.next().await, Some(Ok(0)));
    let third = node.actor::<Locker>(3_u32);
    let error = third.open().await.expect_err("no room");
    assert_eq!(error.code(), Code::MailboxFull);
    let said =
        "2 actors of this type, as many as it may, and none was found that has nothing to do";
    assert!(error.detail().contains(said), "{error}");
    assert_eq!(evicted(&node), "");
    hall.leave.notify_waiters();
    held.await.expect("joins").expect("answers");
    // The turn has ended when its caller hears of it, or a moment later.
    let mut answer = third.open().await;
    while answer.is_err() {
        answer = third.open().await;
    }
    assert_eq!(answer, Ok(1));
    eventually("it has made room", || hall.ended() == [1]).await;
    assert_eq!(
        node.actor::<Locker>(2_u32).open().await,
        Ok(1),
        "it is watched"
    );
    drop(watched);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_on_their_way_are_bounded_and_a_call_of_one_waits_for_its_end() {
    let (town, hall) = (Town::new(), Arc::<Hall>::default());
    let lets = Arc::new(Semaphore::new(0));
    let node = start(&town, &hall, &lets, limits(2)).await;
    for key in 1..=4_u32 {
        assert_eq!(node.actor::<Locker>(key).open().await, Ok(1));
    }
    assert_eq!(hall.states.load(Ordering::SeqCst), 4, "two have not ended");
    let error = node.actor::<Locker>(5_u32).open().await;
    let error = error.expect_err("no room");
    assert_eq!(error.code(), Code::MailboxFull);
    assert!(error.detail().contains("have not ended yet"), "{error}");
    let again = tokio::spawn(node.actor::<Locker>(1_u32).open().timeout(DEADLINE));
    let waits = || {
        let metrics = node.metrics();
        metrics.contains("callboard_mailbox_depth{actor=\"Locker\"} 1\n")
    };
    eventually("it waits", waits).await;
    lets.add_permits(1000);
    assert_eq!(soon(again).await.expect("joins"), Ok(1), "a new state");
    eventually("there is room", || hall.ended().len() >= 2).await;
    node.stop().await;
    assert!(hall.states_max.load(Ordering::SeqCst) <= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_can_be_told_to_refuse_further_keys() {
    let (town, hall) = (Town::new(), Arc::<Hall>::default());
    let mut limits = limits(2);
    limits.eviction = Eviction::Never;
    let node = start(&town, &hall, &open(), limits).await;
    for key in 1..=2_u32 {
        assert_eq!(node.actor::<Locker>(key).open().await, Ok(1));
    }
    let third = node.actor::<Locker>(3_u32);
    assert_eq!(code(third.open().await), Code::MailboxFull);
    assert!(
        node.stop_actor(&node.actor::<Locker>(1_u32), DEADLINE)
            .await
    );
    assert_eq!(third.open().await, Ok(1));
    node.stop().await;
}
