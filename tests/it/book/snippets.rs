//! The code that the book shows by anchor and that no example has. Every anchor is compiled, and
//! what the text claims of it is asserted here.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use callboard::{
    CallLimits, ClaimError, Code, Deactivation, DownReason, Fault, HeldName, NameLost, NodeName,
    net::{Authority, DenyList, PeerKind},
    prelude::*,
};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use crate::{
    named::held_for_longer_than_a_message_takes,
    support::{Town, eventually},
};

// ANCHOR: wire
/// What was ordered.
#[derive(Clone, Debug, PartialEq, Wire)]
pub struct Order {
    sku: String,
    count: u32,
    gift: Option<Gift>,
}

/// How it is wrapped.
#[derive(Clone, Debug, PartialEq, Wire)]
pub enum Gift {
    Paper,
    Box { ribbon: String },
}
// ANCHOR_END: wire

// ANCHOR: stock
/// Keeps count of what is there.
#[derive(Default, Actor)]
#[actor(mailbox = 256)]
pub struct Stock {
    counts: BTreeMap<String, u32>,
}

/// Why an order is not taken.
#[derive(Clone, Debug, PartialEq, Wire)]
pub enum OutOfStock {
    Unknown { sku: String },
    TooFew { left: u32 },
}

#[handlers]
impl Stock {
    /// Adds to what is there. A writer: no other turn runs beside it.
    pub fn fill(&mut self, sku: String, count: u32) {
        *self.counts.entry(sku).or_default() += count;
    }

    /// Takes what was ordered and returns what is left.
    pub fn take(&mut self, order: Order) -> Result<u32, OutOfStock> {
        let Some(left) = self.counts.get_mut(&order.sku) else {
            return Err(OutOfStock::Unknown { sku: order.sku });
        };
        if *left < order.count {
            return Err(OutOfStock::TooFew { left: *left });
        }
        *left -= order.count;
        Ok(*left)
    }

    /// Returns how many there are. A reader: others may run beside it.
    #[handler(idempotent)]
    pub fn count(&self, sku: String) -> u32 {
        self.counts.get(&sku).copied().unwrap_or_default()
    }
}
// ANCHOR_END: stock

// ANCHOR: unit_test
#[test]
fn the_last_one_can_be_taken() {
    let mut stock = Stock::default();
    stock.fill("tea".into(), 1);
    let order = Order {
        sku: "tea".into(),
        count: 1,
        gift: None,
    };
    assert_eq!(stock.take(order.clone()), Ok(0));
    assert_eq!(stock.take(order), Err(OutOfStock::TooFew { left: 0 }));
}
// ANCHOR_END: unit_test

// ANCHOR: keyed
/// One activation for each name.
#[derive(Default, Actor)]
#[actor(key = String, idle = "10m")]
pub struct Visits {
    count: u32,
}

#[handlers]
impl Visits {
    pub fn visit(&mut self, ctx: &Ctx<Self>) -> String {
        self.count += 1;
        format!("{} was here {} times", ctx.key(), self.count)
    }
}
// ANCHOR_END: keyed

// ANCHOR: sited
/// Lives on fast disks.
#[derive(Default, Actor)]
#[actor(key = String, labels = "disk=ssd", zones = "eu-1, eu-2")]
pub struct Archive {
    pages: u32,
}
// ANCHOR_END: sited

#[handlers]
impl Archive {
    pub fn pages(&self) -> u32 {
        self.pages
    }
}

// ANCHOR: hooks
/// A basket that is kept on a shelf while nobody looks at it.
#[derive(Default, Actor)]
#[actor(key = String)]
pub struct Basket {
    items: Vec<String>,
}

#[handlers]
impl Basket {
    #[handler(activate)]
    async fn load(&mut self, ctx: &Ctx<Self>) -> Result<(), CallError> {
        self.items = ctx.service::<Shelf>().get(ctx.key()).await?;
        Ok(())
    }

    #[handler(deactivate)]
    async fn store(&mut self, ctx: &Ctx<Self>, reason: Deactivation) {
        let items = self.items.clone();
        if let Err(error) = ctx.service::<Shelf>().put(ctx.key(), items).await {
            tracing::error!(%error, ?reason, "a basket is lost");
        }
    }

    pub fn add(&mut self, item: String) -> usize {
        self.items.push(item);
        self.items.len()
    }
}
// ANCHOR_END: hooks

/// Keeps baskets.
#[derive(Default, Service)]
pub struct Shelf {
    baskets: Mutex<BTreeMap<String, Vec<String>>>,
}

#[handlers]
impl Shelf {
    pub fn get(&self, key: String) -> Vec<String> {
        let baskets = self.baskets.lock().expect("whole");
        baskets.get(&key).cloned().unwrap_or_default()
    }

    pub fn put(&self, key: String, items: Vec<String>) {
        self.baskets.lock().expect("whole").insert(key, items);
    }
}

#[tokio::test]
async fn a_basket_is_loaded_when_it_begins_and_stored_when_it_ends() {
    let town = Town::new();
    let mut limits = CallLimits::default();
    limits.turn_limit = Duration::from_secs(20);
    let node = town.node("n1").host::<Basket>().host::<Shelf>();
    let node = node.call_limits(limits).start().await.expect("starts");
    let basket = node.actor::<Basket>("ada");
    assert_eq!(basket.add("tea").await, Ok(1));
    assert!(node.stop_actor(&basket, Duration::from_secs(20)).await);
    assert_eq!(basket.add("milk").await, Ok(2));
    node.stop().await;
}

// ANCHOR: unit_test_ctx
#[test]
fn a_visit_is_counted() {
    let mut visits = Visits::default();
    let ctx = Ctx::test("Ada");
    assert_eq!(visits.visit(&ctx), "Ada was here 1 times");
    assert_eq!(visits.visit(&ctx), "Ada was here 2 times");
}
// ANCHOR_END: unit_test_ctx

// ANCHOR: without_key
/// Says where it runs. A service has no key.
#[derive(Default, Service)]
pub struct Place;

#[handlers]
impl Place {
    pub fn name(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_string()
    }
}

/// Says how often it was rung. An actor that is spawned has no key either.
#[derive(Default, Actor)]
pub struct Bell {
    rung: u32,
}

#[handlers]
impl Bell {
    pub fn ring(&mut self, ctx: &Ctx<Self>) -> String {
        self.rung += 1;
        format!("{} times on {}", self.rung, ctx.node_name())
    }
}
// ANCHOR_END: without_key

// ANCHOR: unit_test_without_key
#[test]
fn what_has_no_key_is_given_the_context_of_nothing() {
    assert_eq!(Place.name(&Ctx::test(())), "test");
    let mut bell = Bell::default();
    assert_eq!(bell.ring(&Ctx::test(())), "1 times on test");
}
// ANCHOR_END: unit_test_without_key

// ANCHOR: cluster_test
#[tokio::test]
async fn an_order_is_taken_on_another_node() -> Result<(), Box<dyn std::error::Error>> {
    use callboard::{
        Node,
        net::{Authority, PeerKind},
    };

    // An authority of this test's own: nothing is written, and nobody else is trusted.
    let authority = Authority::throw_away("test".parse()?)?;
    let identity = |name: &str| authority.issue(name.parse().expect("a name"), PeerKind::Node);
    let one = Node::builder().identity(identity("n1")?).start().await?;
    let two = Node::builder()
        .identity(identity("n2")?)
        .seed(one.local_addr())
        .host::<Shop>()
        .start()
        .await?;

    let stock = one.spawn::<Stock>();
    stock.fill("tea", 3).await?;
    // n1 does not host the Shop, so the call goes to n2, which calls the Stock back on n1.
    while one.members().is_empty() {
        tokio::task::yield_now().await;
    }
    // ANCHOR: ref_passed
    let left = one.service::<Shop>().buy(stock, "tea", 2).await?;
    // ANCHOR_END: ref_passed
    assert_eq!(left, 1);

    two.stop().await;
    one.stop().await;
    Ok(())
}
// ANCHOR_END: cluster_test

// ANCHOR: shop
#[derive(Default, Service)]
pub struct Shop;

// ANCHOR: own_errors
/// Why nothing was bought.
#[derive(Clone, Debug, PartialEq, Wire)]
pub enum NotBought {
    OutOfStock(OutOfStock),
    NoAnswer(CallError),
}
// ANCHOR_END: own_errors

impl std::fmt::Display for NotBought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for NotBought {}

// ANCHOR: own_error
impl From<HandlerError<OutOfStock>> for NotBought {
    fn from(error: HandlerError<OutOfStock>) -> Self {
        match error {
            HandlerError::App(error) => Self::OutOfStock(error),
            HandlerError::Call(error) => Self::NoAnswer(error),
        }
    }
}
// ANCHOR_END: own_error

#[handlers]
impl Shop {
    // ANCHOR: ref_argument
    /// A ref is an argument like any other: the handler calls the actor, wherever it lives.
    pub async fn buy(&self, stock: StockRef, sku: String, count: u32) -> Result<u32, NotBought> {
        let order = Order {
            sku,
            count,
            gift: None,
        };
        Ok(stock.take(order).await?)
    }
    // ANCHOR_END: ref_argument
}
// ANCHOR_END: shop

// ANCHOR: facts
use callboard::{CallError, Ran, Retry};

/// Says what a caller may do about an error, from its facts alone.
fn advice(error: &CallError) -> &'static str {
    match (error.ran(), error.retry()) {
        (Ran::NotSent | Ran::Refused, Retry::Elsewhere) => {
            "nothing has happened: a later call may be answered"
        }
        (Ran::NotSent | Ran::Refused, _) => "nothing has happened, and it would fail again",
        (Ran::MayHaveRun, _) => "look whether it has happened before trying again",
    }
}
// ANCHOR_END: facts

// ANCHOR: one_chain
/// Calls a fallible and an infallible handler with one `?` chain.
async fn refill(stock: &StockRef, order: Order) -> Result<u32, HandlerError<OutOfStock>> {
    stock.fill(order.sku.clone(), order.count).await?;
    let left = stock.take(order).await?;
    Ok(left)
}
// ANCHOR_END: one_chain

#[tokio::test]
async fn errors_say_who_and_whether_it_ran() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let stock = node.spawn::<Stock>();
    let order = Order {
        sku: "tea".into(),
        count: 2,
        gift: Some(Gift::Paper),
    };
    assert_eq!(refill(&stock, order.clone()).await, Ok(0));

    // ANCHOR: outcomes
    match stock.take(order).await {
        Ok(left) => println!("{left} left"),
        Err(HandlerError::App(OutOfStock::TooFew { left })) => println!("only {left} left"),
        Err(HandlerError::App(error)) => println!("not taken: {error:?}"),
        Err(HandlerError::Call(error)) => println!("no answer: {error}"),
    }
    // ANCHOR_END: outcomes

    // ANCHOR: no_host
    // No node of this cluster hosts a Shop.
    let error = node
        .service::<Shop>()
        .buy(stock, "tea", 1)
        .await
        .expect_err("nobody sells");
    let HandlerError::Call(error) = error else {
        panic!("the handler did not run");
    };
    assert_eq!(error.ran(), Ran::NotSent);
    // ANCHOR_END: no_host
    assert_eq!(
        advice(&error),
        "nothing has happened: a later call may be answered"
    );
    assert_eq!(error.fault(), Code::NoHost.fault());
    assert_eq!(error.fault(), Fault::Network);
    node.stop().await;
}

#[derive(Default, Service)]
pub struct Slow;

// ANCHOR: slow
#[handlers]
impl Slow {
    /// Takes longer than anybody waits, unless a call says otherwise.
    #[handler(timeout = "50ms")]
    pub async fn forever(&self) {
        std::future::pending().await
    }

    /// Says how much time the caller still gives, and hands on no more than that.
    pub async fn through(&self, ctx: &Ctx<Self>) -> Result<Duration, CallError> {
        let left = ctx.time_left().unwrap_or_default();
        ctx.service::<Slow>()
            .forever()
            .timeout(Duration::from_secs(60))
            .await?;
        Ok(left)
    }
}
// ANCHOR_END: slow

#[tokio::test]
async fn a_deadline_is_handed_on() {
    let town = Town::new();
    let node = town.node("n1").host::<Slow>().start().await.expect("n1");
    let begun = std::time::Instant::now();
    // ANCHOR: deadline
    let slow = node.service::<Slow>();
    let error = slow.forever().await.expect_err("after 50 ms");
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(error.ran(), Ran::MayHaveRun);
    // The call inside asks for a minute and gets what is left of 100 ms.
    let error = slow.through().timeout(Duration::from_millis(100)).await;
    // ANCHOR_END: deadline
    assert!(error.is_err());
    assert!(begun.elapsed() < Duration::from_secs(10));
    node.stop().await;
}

#[tokio::test]
async fn a_send_does_not_wait() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let stock = node.spawn::<Stock>();
    // ANCHOR: send
    stock
        .fill("tea", 5)
        .send()
        .await
        .expect("it is in the mailbox");
    // From one sender to one target, what was sent first runs first.
    assert_eq!(stock.count("tea").await, Ok(5));
    // ANCHOR_END: send
    node.stop().await;
}

// ANCHOR: streams
#[derive(Default, Service)]
pub struct Numbers;

#[handlers]
impl Numbers {
    /// Streams to the caller.
    pub fn up_to(&self, last: u32) -> impl Stream<Item = u32> + use<> {
        stream::iter(1..=last)
    }

    /// Streams from the caller.
    pub async fn sum(&self, mut numbers: Inbound<u32>) -> Result<u64, CallError> {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += u64::from(number?);
        }
        Ok(sum)
    }

    /// Both at once.
    pub fn doubled(&self, numbers: Inbound<u32>) -> impl Stream<Item = u32> + use<> {
        numbers.filter_map(|number| async move { Some(number.ok()? * 2) })
    }
}
// ANCHOR_END: streams

/// Streams that can fail.
#[derive(Default, Service)]
pub struct Countdown;

// ANCHOR: failing_stream
#[handlers]
impl Countdown {
    /// What cannot begin is a stream of one error.
    pub fn down_from(&self, first: u32) -> impl Stream<Item = Result<u32, String>> + use<> {
        let numbers: Vec<_> = match first {
            0..=100 => (0..=first).rev().map(Ok).collect(),
            _ => vec![Err(format!("{first} is more than 100"))],
        };
        stream::iter(numbers)
    }
}
// ANCHOR_END: failing_stream

#[tokio::test]
async fn a_stream_that_cannot_begin_is_one_error() -> Result<(), Box<dyn std::error::Error>> {
    let town = Town::new();
    let node = town.node("n1").host::<Countdown>().start().await?;
    let countdown = node.service::<Countdown>();
    // ANCHOR: failing_stream_read
    let mut numbers = countdown.down_from(2).await?;
    while let Some(number) = numbers.next().await {
        // The first `?` is for the stream that breaks off, the second one for the handler's own error.
        println!("{}", number??);
    }
    // ANCHOR_END: failing_stream_read
    let numbers: Vec<_> = countdown.down_from(101).await?.collect().await;
    assert_eq!(numbers, [Ok(Err("101 is more than 100".to_owned()))]);
    node.stop().await;
    Ok(())
}

#[tokio::test]
async fn numbers_flow_in_and_out() -> Result<(), CallError> {
    let town = Town::new();
    let node = town.node("n1").host::<Numbers>().start().await.expect("n1");
    let numbers = node.service::<Numbers>();
    // ANCHOR: streaming
    let mut counted = numbers.up_to(3).await?;
    while let Some(number) = counted.next().await {
        println!("{}", number?);
    }
    let sum = numbers.sum(stream::iter([1, 2, 3])).await?;
    assert_eq!(sum, 6);
    let doubled = numbers.doubled(stream::iter([1, 2, 3])).await?;
    let doubled: Vec<_> = doubled.collect().await;
    assert_eq!(doubled, [Ok(2), Ok(4), Ok(6)]);
    // ANCHOR_END: streaming
    node.stop().await;
    Ok(())
}

// ANCHOR: ends_in_order
/// Tells whoever listens how far it is, and ends when it is done.
#[derive(Default, Actor)]
pub struct Progress {
    listeners: Vec<mpsc::Sender<u32>>,
}

#[handlers]
impl Progress {
    #[handler(timeout = "none")]
    pub fn listen(&mut self) -> impl Stream<Item = u32> + use<> {
        let (says, hears) = mpsc::channel(16);
        self.listeners.push(says);
        stream::unfold(hears, |mut hears| async move {
            Some((hears.recv().await?, hears))
        })
    }

    pub fn report(&mut self, percent: u32) {
        // One that has left, or does not keep up, is let go.
        self.listeners
            .retain(|listener| listener.try_send(percent).is_ok());
    }

    pub fn finish(&mut self, ctx: &Ctx<Self>) {
        self.report(100);
        // Their streams end after that, BEFORE the actor does.
        self.listeners.clear();
        ctx.stop(Duration::from_secs(5));
    }
}
// ANCHOR_END: ends_in_order

#[tokio::test]
async fn who_listens_to_an_actor_that_ends_itself_sees_the_end() -> Result<(), CallError> {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let progress = node.spawn::<Progress>();
    let heard = progress.listen().await?;
    progress.report(50).await?;
    progress.finish().await?;
    let heard: Vec<_> = heard.collect().await;
    assert_eq!(heard, [Ok(50), Ok(100)]);
    node.stop().await;
    Ok(())
}

// ANCHOR: contract
/// What a thermometer can be asked. Callers need this and nothing of the implementation.
#[contract(spawned)]
pub trait Thermometers {
    /// Returns degrees Celsius.
    #[handler(idempotent)]
    fn read(&self) -> f64;
}
// ANCHOR_END: contract

// ANCHOR: implementation
#[derive(Actor)]
#[actor(contract = Thermometers)]
struct Outside {
    degrees: f64,
}

#[handlers(contract = Thermometers)]
impl Outside {
    pub fn read(&self) -> f64 {
        self.degrees
    }
}
// ANCHOR_END: implementation

#[tokio::test]
async fn a_contract_is_called_without_its_implementation() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let thermometer: ThermometersRef = node.spawn_with(|_| Outside { degrees: 21.5 });
    assert_eq!(thermometer.read().await, Ok(21.5));
    node.stop().await;
}

// ANCHOR: timers
/// Counts the seconds since it was asked to.
#[derive(Default, Actor)]
pub struct Clock {
    ticks: u32,
}

#[handlers]
impl Clock {
    /// Begins to tick. The ticks come as messages, in the order of the mailbox.
    pub fn start(&self, ctx: &Ctx<Self>, every: Duration) {
        ctx.every(every, |clock| async move {
            let _ = clock.tick().send().await;
        });
    }

    pub fn tick(&mut self) {
        self.ticks += 1;
    }

    pub fn ticks(&self) -> u32 {
        self.ticks
    }
}
// ANCHOR_END: timers

#[tokio::test]
async fn a_clock_ticks_by_itself() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let clock = node.spawn::<Clock>();
    clock
        .start(Duration::from_millis(1))
        .await
        .expect("started");
    loop {
        if clock.ticks().await.expect("an answer") >= 3 {
            break;
        }
    }
    node.stop().await;
}

// ANCHOR: host_with
/// Greets in the language that its node was configured with.
#[derive(Service)]
pub struct Polite {
    greeting: String,
}

#[handlers]
impl Polite {
    pub fn greet(&self, name: String) -> String {
        format!("{}, {name}!", self.greeting)
    }
}
// ANCHOR_END: host_with

#[tokio::test]
async fn a_service_is_made_from_what_its_node_has() {
    let town = Town::new();
    let builder = town.node("n1");
    // ANCHOR: hosting_with
    let greeting = "Good morning".to_string();
    let builder = builder.host_with(move |_ctx: &Ctx<Polite>| Polite {
        greeting: greeting.clone(),
    });
    // ANCHOR_END: hosting_with
    let node = builder.start().await.expect("starts");
    let greeted = node.service::<Polite>().greet("Ada").await;
    assert_eq!(greeted.as_deref(), Ok("Good morning, Ada!"));
    node.stop().await;
}

#[derive(Actor)]
#[actor(backoff = "1ms..5ms")]
pub struct Part {
    starts: Arc<AtomicU32>,
}

#[handlers]
impl Part {
    pub fn fail(&mut self) {
        panic!("on purpose");
    }

    pub fn starts(&self) -> u32 {
        self.starts.load(Ordering::SeqCst)
    }
}

fn part(starts: &Arc<AtomicU32>) -> impl Fn(&Ctx<Part>) -> Part + Send + Sync + 'static {
    let starts = starts.clone();
    move |_| {
        starts.fetch_add(1, Ordering::SeqCst);
        Part {
            starts: starts.clone(),
        }
    }
}

#[tokio::test]
async fn those_after_the_failed_one_are_restarted_too() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let counts: [Arc<AtomicU32>; 3] = Default::default();
    let [one, two, three] = &counts;
    // ANCHOR: strategy
    use callboard::{Code, Strategy};

    let group = node.supervisor(Strategy::RestForOne);
    let first = group.spawn_with(part(one));
    let second = group.spawn_with(part(two));
    let third = group.spawn_with(part(three));
    // The second one fails: it and the third are restarted, the first goes on.
    let error = second.fail().await.expect_err("it panics");
    assert_eq!(error.code(), Code::Panicked);
    // ANCHOR_END: strategy
    eventually("two were restarted", || {
        let starts = counts.each_ref().map(|count| count.load(Ordering::SeqCst));
        starts == [1, 2, 2]
    })
    .await;
    assert_eq!(first.starts().await, Ok(1));
    assert_eq!(third.starts().await, Ok(2));
    node.stop().await;
}

#[tokio::test]
async fn the_end_of_an_actor_is_told() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let stock = node.spawn::<Stock>();
    // ANCHOR: watch
    let down = callboard::watch(&stock);
    node.stop_actor(&stock, Duration::from_secs(1)).await;
    println!("{}", down.await.reason);
    let error = stock.count("tea").await.expect_err("it is stopped");
    assert_eq!(error.code(), Code::ActorStopped);
    // ANCHOR_END: watch
    node.stop().await;
}

// ANCHOR: own_end
/// Counts what is asked of it, until it is done.
#[derive(Default, Actor)]
pub struct Census {
    heads: u32,
}

#[handlers]
impl Census {
    pub fn count(&mut self, heads: u32) {
        self.heads += heads;
    }

    /// Says the sum, and ends: what waits in the mailbox has five seconds.
    pub fn finish(&mut self, ctx: &Ctx<Self>) -> u32 {
        ctx.stop(Duration::from_secs(5));
        self.heads
    }
}

/// Has one census at a time.
#[derive(Default, Service)]
pub struct Bureau {
    census: Mutex<Option<CensusRef>>,
}

#[handlers]
impl Bureau {
    /// Gives the census that is under way, and a new one in the place of `lost`, which has ended or was given up.
    pub fn census(&self, ctx: &Ctx<Self>, lost: Option<CensusRef>) -> CensusRef {
        let mut census = self.census.lock().unwrap_or_else(|held| held.into_inner());
        // Of many that have lost the same one, the first gets a new one, and the others get that.
        if *census == lost {
            *census = None;
        }
        census.get_or_insert_with(|| ctx.spawn::<Census>()).clone()
    }

    /// Ends it before it is done.
    pub async fn cancel(&self, ctx: &Ctx<Self>, census: CensusRef) -> bool {
        ctx.stop_actor(&census, Duration::from_secs(5)).await
    }
}
// ANCHOR_END: own_end

// ANCHOR: own_end_lost
/// Counts in the census that is under way, which may be another one than before.
async fn count(bureau: &BureauRef, census: &mut CensusRef, heads: u32) -> Result<(), CallError> {
    loop {
        let Err(error) = census.count(heads).await else {
            return Ok(());
        };
        match error.code() {
            Code::ActorStopped | Code::ActorGone | Code::Quarantined => {
                *census = bureau.census(Some(census.clone())).await?;
            }
            _ => return Err(error),
        }
    }
}
// ANCHOR_END: own_end_lost

#[tokio::test]
async fn an_actor_ends_itself_and_a_service_spawns_another_one() {
    let town = Town::new();
    let node = town.node("n1").host::<Bureau>().start().await;
    let node = node.expect("starts");
    let bureau = node.service::<Bureau>();
    let first = bureau.census(None).await.expect("spawned");
    assert_eq!(bureau.census(None).await, Ok(first.clone()));
    assert_eq!(first.count(3).await, Ok(()));
    assert_eq!(first.finish().await, Ok(3));
    let error = first.count(1).await.expect_err("it has ended");
    assert_eq!(error.code(), Code::ActorStopped);
    let mut second = first.clone();
    assert_eq!(count(&bureau, &mut second, 1).await, Ok(()));
    assert_ne!(second, first);
    assert_eq!(bureau.census(Some(first)).await, Ok(second.clone()));
    assert_eq!(second.finish().await, Ok(1));
    let third = bureau.census(Some(second.clone())).await.expect("spawned");
    assert_ne!(third, second);
    let second = third;
    assert_eq!(bureau.cancel(second.clone()).await, Ok(true));
    assert_eq!(bureau.cancel(second).await, Ok(false));
    node.stop().await;
}

// ANCHOR: named
#[derive(Default, Actor)]
pub struct Lobby {
    guests: u32,
}

#[handlers]
impl Lobby {
    pub fn enter(&mut self) -> u32 {
        self.guests += 1;
        self.guests
    }
}

async fn open_lobby(node: &Node) -> Result<LobbyRef, CallError> {
    let (lobby, _name) = node.spawn_named::<Lobby>("lobby").await?;
    Ok(lobby)
}
// ANCHOR_END: named

// ANCHOR: named_taken
/// Returns the lobby of the cluster, which is here if it is nowhere yet.
async fn the_lobby(node: &Node) -> Result<LobbyRef, CallError> {
    match node.spawn_named::<Lobby>("lobby").await {
        Ok((lobby, _name)) => Ok(lobby),
        Err(ClaimError::Taken { holder, .. }) => {
            println!("the lobby is on {}", holder.node);
            node.named::<Lobby>("lobby").await
        }
        Err(error) => Err(error.into()),
    }
}
// ANCHOR_END: named_taken

// ANCHOR: named_lost
/// Closes a lobby that another one has been there for longer than.
async fn close_when_outheld(node: &Node, lobby: &LobbyRef, name: &HeldName) {
    if let NameLost::Outheld(other) = name.lost().await {
        println!("{} is now the lobby of {other}", name.as_str());
        node.stop_actor(lobby, Duration::from_secs(5)).await;
    }
}
// ANCHOR_END: named_lost

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_is_found_by_its_name() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let other = town.node("n2").seed(node.local_addr());
    let other = other.start().await.expect("starts");
    let lobby = open_lobby(&node).await.expect("free");
    assert_eq!(lobby.enter().await, Ok(1));
    // ANCHOR: named_found
    let lobby = other.named::<Lobby>("lobby").await.expect("it is there");
    assert_eq!(lobby.enter().await, Ok(2));
    // ANCHOR_END: named_found
    assert_eq!(the_lobby(&other).await.as_ref(), Ok(&lobby));
    assert!(node.stop_actor(&lobby, Duration::from_secs(5)).await);
    let lobby = the_lobby(&other).await.expect("free again");
    assert_eq!(lobby.enter().await, Ok(1));

    held_for_longer_than_a_message_takes().await;
    // A lobby on the other side of a split.
    node.deny(DenyList::of(["n2"]).expect("a name"));
    eventually("split", || node.members().is_empty()).await;
    let (younger, name) = node.spawn_named::<Lobby>("lobby").await.expect("free here");
    node.deny(DenyList::default());
    close_when_outheld(&node, &younger, &name).await;
    let error = younger.enter().await.expect_err("it is closed");
    assert_eq!(error.code(), Code::ActorStopped);
    assert_eq!(node.named::<Lobby>("lobby").await.as_ref(), Ok(&lobby));
    other.stop().await;
    node.stop().await;
}

// ANCHOR: placed
#[derive(Default, Actor)]
#[actor(placement = "least_loaded")]
pub struct Match {
    moves: Vec<String>,
}

#[handlers]
impl Match {
    pub fn play(&mut self, what: String) -> u32 {
        self.moves.push(what);
        self.moves.len() as u32
    }
}
// ANCHOR_END: placed

// ANCHOR: placed_pinned
#[derive(Default, Actor)]
#[actor(placement = "pinned")]
pub struct Camera;

#[handlers]
impl Camera {
    pub fn node(&self, ctx: &Ctx<Self>) -> String {
        ctx.node_name().to_owned()
    }
}
// ANCHOR_END: placed_pinned

// ANCHOR: placed_anew
/// Has a match for as long as somebody plays: on another node, when that of the last one is lost.
async fn keep_open(node: &Node, hand_out: impl Fn(MatchRef)) -> Result<(), CallError> {
    loop {
        let game = node.spawn_placed::<Match>().await?;
        hand_out(game.clone());
        if callboard::watch(&game).await.reason == DownReason::Stopped {
            return Ok(());
        }
    }
}
// ANCHOR_END: placed_anew

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_is_made_where_there_is_room_or_where_it_is_told() {
    let town = Town::new();
    // ANCHOR: placed_host
    let node = town.node("n2").host::<Match>().host::<Camera>();
    let node = node.start().await.expect("starts");
    // ANCHOR_END: placed_host
    let other = town.node("n1").seed(node.local_addr());
    let other = other.start().await.expect("starts");
    eventually("linked", || other.members().len() == 1).await;
    // ANCHOR: placed_spawn
    let game = other.spawn_placed::<Match>().await.expect("made on n2");
    assert_eq!(game.play("e4").await, Ok(1));

    let camera = other.spawn_on::<Camera>("n2").await.expect("made on n2");
    assert_eq!(camera.node().await.as_deref(), Ok("n2"));
    // ANCHOR_END: placed_spawn
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let keeper = other.clone();
    let kept = tokio::spawn(async move {
        let hand_out = |game| drop(tell.send(game));
        keep_open(&keeper, hand_out).await
    });
    let game = told.recv().await.expect("handed out");
    assert_eq!(game.play("d4").await, Ok(1));
    assert!(node.stop_actor(&game, Duration::from_secs(5)).await);
    assert_eq!(kept.await.expect("runs"), Ok(()));
    other.stop().await;
    node.stop().await;
}

// ANCHOR: cycle
/// Two of these that are told to ask each other would wait forever.
#[derive(Default, Actor)]
pub struct Asker;

#[handlers]
impl Asker {
    pub async fn ask(&mut self, ctx: &Ctx<Self>, other: AskerRef) -> Result<(), CallError> {
        match other.ask_back(ctx.this()).await {
            Ok(()) => Ok(()),
            Err(HandlerError::App(error) | HandlerError::Call(error)) => Err(error),
        }
    }

    pub async fn ask_back(&mut self, first: AskerRef) -> Result<(), CallError> {
        first.idle().await
    }

    pub fn idle(&mut self) {}
}
// ANCHOR_END: cycle

#[tokio::test]
async fn a_circle_of_calls_is_refused_and_named() {
    let town = Town::new();
    let node = town.node("n1").start().await.expect("starts");
    let (one, two) = (node.spawn::<Asker>(), node.spawn::<Asker>());
    let error = one.ask(two).await.expect_err("a circle");
    let error = CallError::from(error);
    assert_eq!(error.code(), Code::CallCycle);
    assert!(error.detail().contains(" waits for "), "{error}");
    node.stop().await;
}

#[tokio::test]
async fn visits_are_counted_for_each_key() {
    let town = Town::new();
    let node = town.node("n1").host::<Visits>().start().await.expect("n1");
    // ANCHOR: keyed_call
    let said = node.actor::<Visits>("Ada").visit().await;
    assert_eq!(said.as_deref(), Ok("Ada was here 1 times"));
    // ANCHOR_END: keyed_call
    node.stop().await;
}

#[tokio::test]
async fn a_node_says_where_it_stands() {
    // ANCHOR: sited_node
    let node = Node::builder()
        .label("disk", "ssd")
        .zone("eu-1")
        .host::<Archive>()
        .start()
        .await
        .expect("starts");
    // ANCHOR_END: sited_node
    assert_eq!(node.actor::<Archive>("a").pages().await, Ok(0));
    node.stop().await;
}

#[tokio::test]
async fn a_node_forms_a_cluster_and_knows_when_it_has() {
    let town = Town::new();
    let identity = town.identity("n1", PeerKind::Node);
    let folder = tempfile::tempdir().expect("made");
    let (nodes, others) = (1, Vec::<String>::new());
    // ANCHOR: forming
    let node = Node::builder()
        .identity(identity)
        .seeds(others)
        .data_dir(folder.path())
        .bootstrap_expect(nodes)
        .host::<Visits>()
        .start()
        .await
        .expect("starts");
    let joined = node.joined(Duration::from_secs(60)).await;
    // ANCHOR_END: forming
    assert_eq!(joined, Ok(()));
    assert!(node.cluster_id().is_some());
    let said = node.actor::<Visits>("Ada").visit().await;
    assert_eq!(said.as_deref(), Ok("Ada was here 1 times"));
    node.stop().await;
}

#[tokio::test]
async fn the_settings_of_links_and_calls_are_plain_fields() {
    let town = Town::new();
    let builder = Node::builder().identity(town.identity("n1", PeerKind::Node));
    // ANCHOR: settings
    let mut links = callboard::net::Config::default();
    links.peer_timeout = Duration::from_secs(5);
    links.keep_alive = Duration::from_secs(2);
    let mut calls = callboard::CallLimits::default();
    calls.attempts_max = 2;
    let builder = builder.config(links).call_limits(calls);
    // ANCHOR_END: settings
    let node = builder.start().await.expect("starts");
    // ANCHOR: metrics
    let text = node.metrics();
    // ANCHOR_END: metrics
    assert!(text.contains("callboard_links"), "{text}");
    node.stop().await;
}

#[test]
fn an_identity_is_read_from_three_files() {
    let town = Authority::throw_away("shop".parse().expect("a name")).expect("made");
    let folder = tempfile::tempdir().expect("made");
    let issued = town
        .issue_pem(NodeName::new("n1").expect("a name"), PeerKind::Node)
        .expect("issued");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("ca.pem"), town.certificate_pem()).expect("written");
    std::fs::write(path("n1.pem"), issued.certificate).expect("written");
    std::fs::write(path("n1.key"), issued.key).expect("written");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let loose = Identity::from_pem_files(path("ca.pem"), path("n1.pem"), path("n1.key"));
        assert_eq!(loose.expect_err("loose").code(), Code::KeyReadable);
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path("n1.key"), mode).expect("set");
    }
    let (ca, certificate, key) = (path("ca.pem"), path("n1.pem"), path("n1.key"));
    // ANCHOR: identity
    use callboard::{Node, net::Identity};

    let identity = Identity::from_pem_files(&ca, &certificate, &key).expect("three PEM files");
    let builder = Node::builder()
        .identity(identity)
        .listen("0.0.0.0:4433")
        .advertise("192.0.2.7:4433");
    // ANCHOR_END: identity
    drop(builder);
}
