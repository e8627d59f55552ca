//! Streams of actors and services that are stopped: those that have a deadline are waited for, as turns are; those
//! without one are not.

use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use callboard::{Code, Deactivation, prelude::*};
use futures_util::{StreamExt, stream};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    followed::{KEYS, Place},
    support::{DEADLINE, Logged, SOON, Town, code, eventually, soon},
};

const LONG: Duration = Duration::from_secs(60);

/// Far above what a stop takes that waits for nothing.
const WAITS: Duration = Duration::from_millis(300);

/// What a reader on the same node need not have read for it to be there.
const ITEMS: u32 = 9;

/// Where the items of a test's streams come from, and what has ended, in order.
#[derive(Clone, Default)]
pub struct Taps {
    open: Arc<Mutex<Vec<mpsc::UnboundedSender<u32>>>>,
    events: Arc<Mutex<Vec<String>>>,
}

struct Told(Taps);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.note("a stream ends");
    }
}

impl Taps {
    fn note(&self, event: impl Into<String>) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push(event.into());
    }

    fn events(&self) -> Vec<String> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.clone()
    }

    /// Makes a stream of what is [said](Self::say).
    fn items(&self) -> impl Stream<Item = u32> + Send + use<> {
        let (tap, items) = mpsc::unbounded_channel();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(tap);
        stream::unfold((items, Told(self.clone())), |(mut items, told)| async {
            Some((items.recv().await?, (items, told)))
        })
    }

    /// Gives an item to every stream that was made.
    fn say(&self, item: u32) {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for tap in &*open {
            // One that is over takes none.
            let _ = tap.send(item);
        }
    }

    /// Ends the streams.
    fn shut(&self) {
        self.shut_but(0);
    }

    /// Ends all streams but so many of the first ones.
    fn shut_but(&self, first: usize) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.truncate(first);
    }
}

#[derive(Service)]
pub struct Feed(Taps);

#[handlers]
impl Feed {
    pub fn finite(&self) -> impl Stream<Item = u32> + use<> {
        self.0.items()
    }

    #[handler(timeout = "none")]
    pub fn endless(&self) -> impl Stream<Item = u32> + use<> {
        self.0.items()
    }

    pub async fn sum(&self, mut numbers: Inbound<u32>) -> u32 {
        let mut sum = 0;
        while let Some(Ok(number)) = numbers.next().await {
            sum += number;
        }
        sum
    }

    pub fn doubled(&self, numbers: Inbound<u32>) -> impl Stream<Item = u32> + use<> {
        numbers.filter_map(|number| async move { Some(number.ok()? * 2) })
    }
}

/// A node with the service, another one, and a client.
struct Stage {
    _town: Town,
    host: Node,
    other: Node,
    client: Client,
    taps: Taps,
}

impl Stage {
    async fn new(grace: Duration) -> Self {
        let (town, taps) = (Town::new(), Taps::default());
        let (feed, reel) = (taps.clone(), taps.clone());
        let host = town.node("host").grace(grace);
        let host = host.host_with(move |_| Feed(feed.clone()));
        let host = host.host_with(move |_| Reel(reel.clone()));
        let host = host.start().await.expect("host");
        let other = town.node("other").seed(host.local_addr());
        let other = other.start().await.expect("other");
        let client = town.client(host.local_addr()).await;
        eventually("the nodes are linked", || other.members().len() == 1).await;
        Self {
            _town: town,
            host,
            other,
            client,
            taps,
        }
    }

    fn feeds(&self) -> [FeedRef; 3] {
        [
            self.host.service::<Feed>(),
            self.other.service::<Feed>(),
            self.client.service::<Feed>(),
        ]
    }

    /// Begins a finite stream for each reader, of which each has had one item.
    async fn finite(&self) -> Vec<Streaming<u32>> {
        let mut all = Vec::new();
        for feed in self.feeds() {
            all.push(feed.finite().timeout(LONG).await.expect("it begins"));
        }
        self.begun(all).await
    }

    async fn endless(&self) -> Vec<Streaming<u32>> {
        let mut all = Vec::new();
        for feed in self.feeds() {
            all.push(feed.endless().await.expect("it begins"));
        }
        self.begun(all).await
    }

    async fn begun(&self, mut all: Vec<Streaming<u32>>) -> Vec<Streaming<u32>> {
        self.taps.say(0);
        for items in &mut all {
            assert_eq!(soon(items.next()).await, Some(Ok(0)));
        }
        all
    }

    async fn leave(self) {
        self.client.close().await;
        self.other.stop().await;
        self.host.stop().await;
    }
}

async fn rest(items: Streaming<u32>) -> Vec<Result<u32, Code>> {
    let items = items.map(|item| item.map_err(|error| error.code()));
    soon(items.collect()).await
}

fn all_items() -> Vec<Result<u32, Code>> {
    (1..=ITEMS).map(Ok).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finite_stream_of_a_node_that_stops_comes_to_its_end() {
    let stage = Stage::new(LONG).await;
    let finite = stage.finite().await;
    let mut stop = pin!(stage.host.stop());
    timeout(WAITS, &mut stop).await.expect_err("it waits");
    (1..=ITEMS).for_each(|item| stage.taps.say(item));
    timeout(WAITS, &mut stop).await.expect_err("it waits on");
    stage.taps.shut();
    soon(stop).await;
    // Each reader has what came before, though nothing is left of the node.
    for items in finite {
        assert_eq!(rest(items).await, all_items());
    }
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_deadline_goes_on_while_a_stop_waits_and_is_not_waited_for() {
    let stage = Stage::new(LONG).await;
    let mut endless = stage.endless().await;
    let mut finite = stage.feeds()[2]
        .finite()
        .timeout(LONG)
        .await
        .expect("begins");
    stage.taps.say(1);
    assert_eq!(soon(finite.next()).await, Some(Ok(1)));
    let mut stop = pin!(stage.host.stop());
    timeout(WAITS, &mut stop).await.expect_err("it waits");
    stage.taps.say(2);
    assert_eq!(soon(finite.next()).await, Some(Ok(2)));
    for items in &mut endless {
        assert_eq!(soon(items.next()).await, Some(Ok(1)));
        assert_eq!(soon(items.next()).await, Some(Ok(2)));
    }
    drop(finite);
    soon(stop).await;
    for items in endless {
        assert_eq!(rest(items).await, [Err(Code::StreamBroken)]);
    }
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_outlasts_the_grace_is_cut_and_told_of() {
    let (logged, _listening) = Logged::listen(tracing::Level::WARN);
    let grace = Duration::from_millis(1500);
    let stage = Stage::new(grace).await;
    let finite = stage.finite().await;
    let begun = Instant::now();
    stage.host.stop().await;
    let took = begun.elapsed();
    assert!(grace <= took && took < grace + SOON, "it took {took:?}");
    for items in finite {
        assert_eq!(rest(items).await, [Err(Code::StreamBroken)]);
    }
    assert_eq!(logged.count("the stop waits for streams"), 1);
    assert_eq!(logged.count("not all streams have ended"), 1);
    let all = "service=\"Feed\" running=0 waiting=0 streams=3";
    assert_eq!(logged.count(all), 2);
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_its_caller_streams_is_waited_for_whether_the_reply_is_one_value_or_many() {
    let stage = Stage::new(LONG).await;
    let [near, _, far] = stage.feeds();
    let mut calls = Vec::new();
    for feed in [near, far] {
        let (says, hears) = mpsc::unbounded_channel();
        let (says_too, hears_too) = mpsc::unbounded_channel();
        let summed = tokio::spawn(feed.sum(flow(hears)).timeout(LONG));
        let doubled = feed.doubled(flow(hears_too)).timeout(LONG).await;
        let mut doubled = doubled.expect("begins");
        for number in [1, 2] {
            says.send(number).expect("heard");
            says_too.send(number).expect("heard");
            assert_eq!(soon(doubled.next()).await, Some(Ok(2 * number)));
        }
        calls.push((says, says_too, summed, doubled));
    }
    let mut stop = pin!(stage.host.stop());
    timeout(WAITS, &mut stop).await.expect_err("it waits");
    let mut streams = Vec::new();
    for (says, says_too, summed, doubled) in calls {
        says.send(3).expect("heard");
        drop(says);
        assert_eq!(soon(summed).await.expect("whole"), Ok(6));
        streams.push((says_too, doubled));
    }
    timeout(WAITS, &mut stop).await.expect_err("it waits on");
    for (says_too, doubled) in streams {
        says_too.send(3).expect("heard");
        drop(says_too);
        assert_eq!(rest(doubled).await, [Ok(6)]);
    }
    soon(stop).await;
    stage.leave().await;
}

fn flow(items: mpsc::UnboundedReceiver<u32>) -> impl Stream<Item = u32> + Send + 'static {
    stream::unfold(items, |mut items| async {
        Some((items.recv().await?, items))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_until_the_finite_streams_of_services_have_ended() {
    let stage = Stage::new(LONG).await;
    let endless = stage.endless().await;
    let finite = stage.finite().await;
    let mut drain = Box::pin(stage.host.drain(DEADLINE));
    timeout(WAITS, &mut drain).await.expect_err("it waits");
    (1..=ITEMS).for_each(|item| stage.taps.say(item));
    // Those without a deadline go on.
    stage.taps.shut_but(3);
    soon(drain).await.expect("drained");
    for items in finite {
        assert_eq!(rest(items).await, all_items());
    }
    drop(endless);
    stage.leave().await;
}

/// Lives until it is stopped. What it says goes to those who listen.
#[derive(Actor)]
pub struct Tape {
    taps: Taps,
    listeners: Vec<mpsc::UnboundedSender<u32>>,
}

#[handlers]
impl Tape {
    pub fn finite(&self) -> impl Stream<Item = u32> + use<> {
        self.taps.items()
    }

    /// Its sender is part of the state.
    pub fn listen(&mut self) -> impl Stream<Item = u32> + use<> {
        self.listener()
    }

    #[handler(timeout = "none")]
    pub fn subscribe(&mut self) -> impl Stream<Item = u32> + use<> {
        self.listener()
    }

    pub fn say(&mut self, item: u32) {
        for listener in &self.listeners {
            // One that has left hears nothing.
            let _ = listener.send(item);
        }
    }

    /// Ends, in order or not, and its streams with it.
    pub fn end(&mut self, ctx: &Ctx<Self>, in_order: bool, grace: Duration) {
        (1..=ITEMS).for_each(|item| self.say(item));
        if in_order {
            self.listeners.clear();
        }
        ctx.stop(grace);
    }

    #[handler(deactivate)]
    async fn ends(&mut self, why: Deactivation) {
        self.taps.note(format!("it ends: {why:?}"));
    }

    #[handler(skip)]
    fn listener(&mut self) -> impl Stream<Item = u32> + use<> {
        let (says, hears) = mpsc::unbounded_channel();
        self.listeners.push(says);
        flow(hears)
    }
}

/// The same with a key.
#[derive(Actor)]
#[actor(key = String)]
pub struct Reel(Taps);

#[handlers]
impl Reel {
    pub fn finite(&self) -> impl Stream<Item = u32> + use<> {
        self.0.items()
    }

    pub fn home(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }

    #[handler(deactivate)]
    async fn ends(&mut self, why: Deactivation) {
        self.0.note(format!("it ends: {why:?}"));
    }
}

fn tape(stage: &Stage) -> TapeRef {
    let taps = stage.taps.clone();
    stage.host.spawn_with::<Tape>(move |_| Tape {
        taps: taps.clone(),
        listeners: Vec::new(),
    })
}

/// An actor is stopped of which somebody reads a finite stream.
async fn ends_after_its_stream(
    stage: &Stage,
    mut items: Streaming<u32>,
    stop: impl Future<Output = bool>,
) {
    stage.taps.say(0);
    assert_eq!(soon(items.next()).await, Some(Ok(0)));
    let mut stop = pin!(stop);
    timeout(WAITS, &mut stop).await.expect_err("it waits");
    (1..=ITEMS).for_each(|item| stage.taps.say(item));
    assert!(stage.taps.events().is_empty(), "it is still there");
    stage.taps.shut();
    assert!(soon(stop).await);
    assert_eq!(rest(items).await, all_items());
    assert_eq!(stage.taps.events(), ["a stream ends", "it ends: Stopped"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_is_stopped_is_deactivated_after_its_finite_streams() {
    let stage = Stage::new(LONG).await;
    let tape = tape(&stage);
    let far = stage.client.attach(tape.clone());
    let items = far.finite().timeout(LONG).await.expect("begins");
    ends_after_its_stream(&stage, items, stage.host.stop_actor(&tape, LONG)).await;
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_stopped_is_deactivated_after_its_finite_streams() {
    let stage = Stage::new(LONG).await;
    let reel = stage.host.actor::<Reel>("k");
    let items = reel.finite().timeout(LONG).await.expect("begins");
    ends_after_its_stream(&stage, items, stage.host.stop_actor(&reel, LONG)).await;
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_waits_for_a_stream_no_longer_than_until_its_deadline() {
    let stage = Stage::new(LONG).await;
    let tape = tape(&stage);
    let within = Duration::from_millis(500);
    let begun = Instant::now();
    let items = tape.finite().timeout(within).await.expect("begins");
    assert!(soon(stage.host.stop_actor(&tape, LONG)).await);
    assert!(begun.elapsed() >= within, "{:?}", begun.elapsed());
    assert_eq!(rest(items).await, [Err(Code::DeadlineExceeded)]);
    assert_eq!(stage.taps.events(), ["a stream ends", "it ends: Stopped"]);
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_ends_itself_ends_its_streams_in_order_by_dropping_what_they_read_from() {
    let stage = Stage::new(LONG).await;
    for in_order in [true, false] {
        let tape = tape(&stage);
        let far = stage.client.attach(tape.clone());
        let mut all = Vec::new();
        for tape in [&tape, &far] {
            all.push(tape.subscribe().await.expect("begins"));
            if in_order {
                all.push(tape.listen().timeout(LONG).await.expect("begins"));
            }
        }
        assert_eq!(tape.end(in_order, LONG).await, Ok(()));
        for items in all {
            let mut heard = rest(items).await;
            if !in_order {
                // What the state holds is not taken for an end, though it is dropped with it. Of what was on its way to
                // another process some is lost by that.
                assert_eq!(heard.pop(), Some(Err(Code::StreamBroken)));
                assert!(all_items().starts_with(&heard), "{heard:?}");
                continue;
            }
            assert_eq!(heard, all_items());
        }
        assert_eq!(code(soon(tape.say(1)).await), Code::ActorStopped);
    }
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_ends_itself_and_keeps_what_a_finite_stream_reads_from_takes_all_of_its_grace()
 {
    let stage = Stage::new(LONG).await;
    let tape = tape(&stage);
    let items = tape.listen().timeout(LONG).await.expect("begins");
    let grace = Duration::from_millis(500);
    let begun = Instant::now();
    assert_eq!(tape.end(false, grace).await, Ok(()));
    let told = [all_items(), vec![Err(Code::StreamBroken)]].concat();
    assert_eq!(rest(items).await, told);
    assert!(begun.elapsed() >= grace, "{:?}", begun.elapsed());
    stage.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_moves_waits_for_no_stream() {
    let (place, taps) = (Place::new(), Taps::default());
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let seeds: Vec<_> = nodes.iter().map(Node::local_addr).collect();
        let given = taps.clone();
        let node = place.node(name, &seeds).bootstrap_expect(3);
        let node = node.host_with(move |_| Reel(given.clone()));
        nodes.push(node.start().await.expect("starts"));
    }
    for node in &nodes {
        node.joined(DEADLINE).await.expect("a member");
    }
    let mut streams = Vec::new();
    for key in 0..KEYS {
        let reel = nodes[1].actor::<Reel>(format!("k{key}"));
        if reel.home().timeout(DEADLINE).await.expect("answers") == "n1" {
            streams.push(reel.finite().timeout(LONG).await.expect("begins"));
        }
    }
    assert!(!streams.is_empty(), "n1 has slots");
    let begun = Instant::now();
    nodes[0].drain(DEADLINE).await.expect("drained");
    assert!(begun.elapsed() < DEADLINE / 2, "{:?}", begun.elapsed());
    for items in streams {
        assert_eq!(rest(items).await, [Err(Code::StreamBroken)]);
    }
    for node in nodes {
        node.stop().await;
    }
}
