//! Large bodies and streams: the caps of both sides, the order of a pair, and what becomes of a
//! call whose stream cannot be opened or whose reply is not read.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use callboard::{
    Builder, CallLimits, Code, Ran,
    net::{Config, PeerKind},
    prelude::*,
};
use futures_util::{StreamExt, poll, stream};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::{DEADLINE, SOON, Town, eventually, quick, soon};

/// The length in front of a vector of a megabyte.
const LENGTH_BYTES: usize = 3;

#[derive(Default, Service)]
pub struct Store;

#[handlers]
impl Store {
    pub fn ping(&self) -> u32 {
        1
    }

    pub async fn takes(&self, body: Vec<u8>) -> u32 {
        body.len() as u32
    }

    pub fn joins(&self, texts: Vec<String>) -> String {
        texts.concat()
    }

    pub fn large(&self, bytes: u32) -> Vec<u8> {
        vec![7; bytes as usize]
    }

    pub fn pours(&self, bytes: u32) -> impl Stream<Item = Vec<u8>> + use<> {
        stream::repeat(vec![7; bytes as usize])
    }

    pub async fn drinks(&self, items: Inbound<Vec<u8>>) -> usize {
        let lens = items.map(|item| item.map_or(0, |item| item.len()));
        lens.fold(0, async |sum, len| sum + len).await
    }

    pub fn ignores(&self, _items: Inbound<u32>) -> u32 {
        1
    }

    pub async fn leaves(&self, items: Inbound<Vec<u8>>) {
        std::future::pending::<()>().await;
        drop(items);
    }

    pub fn touchy(&self) -> Touchy {
        Touchy
    }

    pub fn takes_brittle(&self, body: Brittle) -> usize {
        body.0.len()
    }
}

/// Its serialiser panics.
#[derive(Debug, Deserialize)]
pub struct Touchy;

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("not to be written");
    }
}

impl callboard::Wire for Touchy {
    fn describe(shape: &mut callboard::__private::WireShape) {
        shape.opaque("touchy/1");
    }
}

/// Whoever reads it panics.
#[derive(Debug, Serialize)]
pub struct Brittle(Vec<u8>);

impl<'de> Deserialize<'de> for Brittle {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("not to be read");
    }
}

impl callboard::Wire for Brittle {
    fn describe(shape: &mut callboard::__private::WireShape) {
        shape.opaque("brittle/1");
    }
}

#[derive(Actor)]
pub struct Keeper;

#[handlers]
impl Keeper {
    pub fn keep(&self, _touchy: Touchy) {}
}

#[derive(Actor)]
pub struct Teller {
    asked: Arc<AtomicBool>,
}

#[handlers]
impl Teller {
    pub fn numbers(&self) -> impl Stream<Item = u32> + use<> {
        self.asked.store(true, Ordering::SeqCst);
        stream::iter(0..3)
    }
}

fn host(town: &Town, config: Config) -> Builder {
    town.node("host").config(config).host::<Store>()
}

async fn client(town: &Town, node: &Node, config: Config) -> Client {
    let connecting = Client::builder()
        .identity(town.identity("client", PeerKind::Client))
        .config(config)
        .seed(node.local_addr())
        .connect();
    connecting.await.expect("connects")
}

fn capped(bytes: u32) -> Config {
    let mut config = quick();
    config.limits.body_bytes_max = bytes;
    config
}

/// The peer cannot open a stream.
fn without_streams() -> Config {
    let mut config = quick();
    config.streams_max = 0;
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_texts_arrive_whole_and_in_their_places() {
    let town = Town::new();
    let node = host(&town, quick()).start().await.expect("starts");
    let client = client(&town, &node, quick()).await;
    let store = client.service::<Store>();
    // Some are parts of their own on the stream, some are not, and more are long than may be parts.
    for lens in [vec![0, 20_000, 3, 3 << 20, 40_000, 0], vec![17_000; 50]] {
        let texts = ('a'..='z').cycle().zip(lens);
        let texts: Vec<String> = texts
            .map(|(letter, len)| String::from(letter).repeat(len))
            .collect();
        let joined = soon(store.joins(texts.clone()).timeout(DEADLINE)).await;
        assert!(joined.expect("is answered") == texts.concat());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_that_wait_for_each_other_all_arrive() {
    let town = Town::new();
    let node = host(&town, quick()).start().await.expect("starts");
    let client = client(&town, &node, quick()).await;
    let store = client.service::<Store>();
    // More than their streams' windows have room for, so that some are in the network while others are read.
    let calls = (0..8).map(|_| {
        let texts = vec!["x".repeat(4 << 20)];
        let call = store.joins(texts).timeout(DEADLINE);
        async move { call.await.map(|joined| joined.len()) }
    });
    let joined = soon(futures_util::future::join_all(calls)).await;
    assert_eq!(joined, vec![Ok(4 << 20); 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smaller_cap_counts_whichever_side_has_it() {
    let cap = 1 << 20;
    for (here, there) in [(quick(), capped(cap)), (capped(cap), quick())] {
        let town = Town::new();
        let node = host(&town, there).start().await.expect("starts");
        let client = client(&town, &node, here).await;
        let store = client.service::<Store>();
        let fits = cap as usize - LENGTH_BYTES;
        let taken = soon(store.takes(vec![0; fits]).timeout(DEADLINE)).await;
        assert_eq!(taken, Ok(fits as u32));
        let error = soon(store.takes(vec![0; fits + 1]).timeout(DEADLINE))
            .await
            .expect_err("one byte over");
        assert_eq!(
            (error.code(), error.ran()),
            (Code::BodyTooLarge, Ran::NotSent)
        );
        let reply = soon(store.large(fits as u32).timeout(DEADLINE)).await;
        assert_eq!(reply.map(|body| body.len()), Ok(fits));
        let error = soon(store.large(fits as u32 + 1).timeout(DEADLINE))
            .await
            .expect_err("one byte over");
        assert_eq!(error.code(), Code::ReplyTooLarge);
        client.close().await;
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_over_the_callers_longest_frame_goes_on_a_stream() {
    let town = Town::new();
    let node = host(&town, quick()).start().await.expect("starts");
    let mut config = quick();
    config.limits.frame_bytes_max = 16 << 10;
    let client = client(&town, &node, config).await;
    let store = client.service::<Store>();
    let reply = soon(store.large(20 << 10).timeout(DEADLINE)).await;
    assert_eq!(reply.map(|body| body.len()), Ok(20 << 10));
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_waits_for_a_stream_holds_up_no_other_call() {
    let town = Town::new();
    let node = host(&town, without_streams())
        .start()
        .await
        .expect("starts");
    let client = client(&town, &node, quick()).await;
    let store = client.service::<Store>();
    let mut large = Box::pin(store.takes(vec![0; 1 << 20]).timeout(DEADLINE));
    assert!(futures_util::poll!(&mut large).is_pending());
    assert_eq!(soon(store.ping().timeout(DEADLINE)).await, Ok(1));
    assert!(futures_util::poll!(&mut large).is_pending());
    let error = soon(
        store
            .takes(vec![0; 1 << 20])
            .timeout(Duration::from_millis(50)),
    )
    .await
    .expect_err("no stream");
    assert_eq!(error.ran(), Ran::NotSent, "{error}");
    drop(large);
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_was_answered_without_its_stream_leaves_no_place_for_it() {
    let town = Town::new();
    let node = host(&town, without_streams())
        .start()
        .await
        .expect("starts");
    let client = client(&town, &node, quick()).await;
    let store = client.service::<Store>();
    for _ in 0..3 {
        let answered = store.ignores(stream::empty()).timeout(DEADLINE);
        assert_eq!(soon(answered).await, Ok(1));
    }
    eventually("no stream is waited for", || {
        let usage = node.usage();
        let mut missed = usage.iter().filter(|held| held.what == MISSED);
        missed.all(|held| held.now == 0)
    })
    .await;
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_cannot_leave_keeps_its_place_until_its_caller_goes() {
    let town = Town::new();
    let mut limits = CallLimits::default();
    limits.served_max = 1;
    let node = host(&town, quick())
        .call_limits(limits)
        .start()
        .await
        .expect("starts");
    let client = client(&town, &node, without_streams()).await;
    let store = client.service::<Store>();
    let held = tokio::spawn(store.large(1 << 20).timeout(DEADLINE));
    eventually("it has its place", || {
        let usage = node.usage();
        let mut served = usage.iter().filter(|held| held.what == "calls of a peer");
        served.all(|held| held.now == 1)
    })
    .await;
    let ping = async || store.ping().timeout(DEADLINE).await;
    let mut refused = false;
    for _ in 0..200 {
        refused = matches!(&ping().await, Err(error) if error.code() == Code::MailboxFull);
        if refused {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(refused, "the reply that waits is not counted");
    held.abort();
    let mut free = false;
    for _ in 0..200 {
        free = ping().await == Ok(1);
        if free {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(free, "the place was not given back");
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_never_answered_says_so_when_its_actor_stops() {
    let town = Town::new();
    let node = town
        .node("host")
        .config(without_streams())
        .start()
        .await
        .expect("starts");
    let client = client(&town, &node, quick()).await;
    let asked = Arc::new(AtomicBool::new(false));
    let given = asked.clone();
    let local = node.spawn_with::<Teller>(move |_| Teller {
        asked: given.clone(),
    });
    let teller = client.attach(local.clone());
    let call = tokio::spawn(teller.numbers().timeout(DEADLINE));
    eventually("it runs", || asked.load(Ordering::SeqCst)).await;
    assert!(node.stop_actor(&local, SOON).await);
    let error = soon(call).await.expect("joins").expect_err("no stream");
    assert_eq!(error.code(), Code::TurnAborted, "{error}");
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_the_reply_is_encoded_is_an_error_of_its_call() {
    let town = Town::new();
    let node = host(&town, quick()).start().await.expect("starts");
    let client = client(&town, &node, quick()).await;
    let store = client.service::<Store>();
    let error = soon(store.touchy().timeout(DEADLINE))
        .await
        .expect_err("panicked");
    assert_eq!(error.code(), Code::Panicked, "{error}");
    assert!(error.to_string().contains("not to be written"), "{error}");
    assert_eq!(soon(store.ping().timeout(DEADLINE)).await, Ok(1));
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_a_large_body_is_read_does_not_hold_its_pair() {
    let town = Town::new();
    let node = host(&town, quick()).start().await.expect("starts");
    let client = client(&town, &node, quick()).await;
    let store = client.service::<Store>();
    let error = soon(
        store
            .takes_brittle(Brittle(vec![0; 100 << 10]))
            .timeout(DEADLINE),
    )
    .await;
    assert_eq!(error.expect_err("panicked").code(), Code::PeerLost);
    let pinged = async {
        while store.ping().timeout(DEADLINE).await != Ok(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(pinged).await;
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_the_arguments_are_encoded_leaves_no_call_behind() {
    let town = Town::new();
    let node = host(&town, quick()).start().await.expect("starts");
    let client = client(&town, &node, quick()).await;
    let local = node.spawn_with::<Keeper>(|_| Keeper);
    let keeper = client.attach(local);
    let call = tokio::spawn(keeper.keep(Touchy).timeout(DEADLINE));
    assert!(call.await.expect_err("panicked").is_panic());
    let usage = client.usage();
    let waits = usage.iter().find(|held| held.what == CALLS);
    assert_eq!(waits.expect("it is counted").now, 0);
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_calls_give_their_streams_back() {
    let town = Town::new();
    let mut config = quick();
    config.streams_max = 2;
    let node = host(&town, config.clone()).start().await.expect("starts");
    let client = client(&town, &node, config).await;
    let store = client.service::<Store>();
    for wait in 0..40 {
        let up = store.takes(vec![0; 100 << 10]);
        let down = store.large(100 << 10);
        let both = async { tokio::join!(up, down) };
        let _ = tokio::time::timeout(Duration::from_micros(wait * 50), both).await;
    }
    let reply = store.large(100 << 10).timeout(DEADLINE / 2).await;
    assert_eq!(reply.map(|body| body.len()), Ok(100 << 10));
    let taken = store.takes(vec![0; 100 << 10]).timeout(DEADLINE / 2).await;
    assert_eq!(taken, Ok(100 << 10));
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_that_wait_for_a_slow_reader_are_bounded_in_bytes() {
    let town = Town::new();
    let mut limits = CallLimits::default();
    limits.reply_bytes_max = 1 << 20;
    let node = host(&town, quick())
        .call_limits(limits)
        .start()
        .await
        .expect("starts");
    let client = client(&town, &node, without_streams()).await;
    let store = client.service::<Store>();
    let waits = || {
        let usage = node.usage();
        let replies = usage.iter().find(|held| held.what == REPLIES);
        replies.map_or(0, |replies| replies.now)
    };
    // One may wait whatever its length, and then no other.
    for (bytes, more) in [(800 << 10, 800 << 10), (2 << 20, 100 << 10)] {
        let held = tokio::spawn(store.large(bytes).timeout(DEADLINE));
        eventually("it waits", || waits() >= u64::from(bytes)).await;
        let error = soon(store.large(more).timeout(DEADLINE))
            .await
            .expect_err("over the bound");
        assert_eq!(
            (error.code(), error.ran()),
            (Code::ReplyDropped, Ran::MayHaveRun),
            "{error}"
        );
        // What fits on the lane does not wait.
        assert_eq!(soon(store.ping().timeout(DEADLINE)).await, Ok(1));
        held.abort();
        eventually("it is given back", || waits() == 0).await;
    }
    let counted = format!(
        "callboard_served_errors_total{{method=\"Store/large\",code=\"{}\"}} 2",
        Code::ReplyDropped.text()
    );
    assert!(node.metrics().contains(&counted), "{}", node.metrics());
    client.close().await;
    node.stop().await;
}

/// A MiB of room, and streams of which little is read at once.
fn narrow() -> (Config, CallLimits) {
    let mut config = quick();
    config.stream_window_bytes = 16 << 10;
    let mut limits = CallLimits::default();
    limits.bodies_bytes_max = 1 << 20;
    (config, limits)
}

/// Returns how many bytes of large bodies and items a node or a client says that it holds.
fn coming(usage: &[callboard::Held]) -> u64 {
    let comes = usage.iter().find(|held| held.what == COMING);
    let comes = comes.expect("it is counted");
    assert!(comes.now <= comes.most, "{comes:?}");
    comes.now
}

/// Polls until a large body or item of the client has its room, of which the rest is not there yet.
async fn begun<F: Future + Unpin>(client: &Client, large: &mut F) {
    while coming(&client.usage()) == 0 {
        assert!(poll!(&mut *large).is_pending(), "it came at once");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_and_items_that_come_wait_for_room_and_short_items_do_not() {
    let town = Town::new();
    let (config, limits) = narrow();
    let node = host(&town, quick()).grace(SOON / 10).start().await;
    let node = node.expect("starts");
    let connecting = Client::builder()
        .identity(town.identity("client", PeerKind::Client))
        .config(config)
        .call_limits(limits)
        .seed(node.local_addr())
        .connect();
    let client = connecting.await.expect("connects");
    let store = client.service::<Store>();
    let large = || store.large(800 << 10).timeout(DEADLINE);
    let pours = |bytes, timeout| store.pours(bytes).timeout(timeout);
    let [mut one, mut other] = [large(), large()].map(Box::pin);
    soon(begun(&client, &mut one)).await;
    let mut short = soon(pours(60 << 10, DEADLINE)).await.expect("a stream");
    let mut long = soon(pours(800 << 10, DEADLINE)).await.expect("a stream");
    let item = soon(short.next()).await.expect("goes on");
    assert_eq!(item.map(|item| item.len()), Ok(60 << 10));
    let waits = tokio::time::timeout(SOON / 10, &mut other).await;
    assert!(waits.is_err(), "there is no room");
    assert_eq!(soon(one).await.map(|body| body.len()), Ok(800 << 10));
    assert_eq!(soon(other).await.map(|body| body.len()), Ok(800 << 10));
    let item = soon(long.next()).await.expect("goes on");
    assert_eq!(item.map(|item| item.len()), Ok(800 << 10));
    drop((short, long));
    eventually("all of it is given back", || coming(&client.usage()) == 0).await;
    // What waits for room hears when its writer is gone; nobody else makes room for it.
    let mut one = Box::pin(large());
    soon(begun(&client, &mut one)).await;
    let mut lost = soon(pours(800 << 10, DEADLINE)).await.expect("a stream");
    let waits = tokio::time::timeout(SOON / 10, lost.next()).await;
    assert!(waits.is_err(), "there is no room");
    node.stop().await;
    let broken = soon(lost.next()).await.expect("an error, and the end");
    let broken = broken.map(|_| ()).expect_err("no room");
    assert_eq!(broken.code(), Code::StreamBroken, "{broken}");
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_nobody_reads_hold_up_no_call_however_many() {
    let town = Town::new();
    let node = host(&town, quick()).start().await.expect("starts");
    let client = client(&town, &node, quick()).await;
    let store = client.service::<Store>();
    let (mut unread, mut unheard) = (Vec::new(), Vec::new());
    for _ in 0..STREAMS {
        let poured = store.pours(200 << 10).timeout(DEADLINE);
        unread.push(soon(poured).await.expect("a stream"));
        let items = stream::repeat(vec![7; 200 << 10]);
        let left = store.leaves(items).timeout(DEADLINE).into_future();
        unheard.push(tokio::spawn(left));
    }
    // Each of them holds as much as it may.
    let bytes = || {
        let text = client.metrics();
        let moved = text.lines().filter(|line| line.contains("_bytes_total{"));
        let moved = moved.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        moved.sum::<u64>()
    };
    let mut before = 0;
    while bytes() - before > 64 << 10 {
        before = bytes();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(soon(store.ping().timeout(DEADLINE)).await, Ok(1));
    unheard.iter().for_each(tokio::task::JoinHandle::abort);
    drop(unread);
    client.close().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_of_arguments_count_for_the_room_of_their_peer() {
    let town = Town::new();
    let (config, limits) = narrow();
    let node = host(&town, config).call_limits(limits).start().await;
    let node = node.expect("starts");
    let client = client(&town, &node, quick()).await;
    let store = client.service::<Store>();
    let drunk = futures_util::future::join_all((0..4).map(|_| {
        let items = stream::iter(0..3).map(|_| vec![7; 800 << 10]);
        store.drinks(items).timeout(DEADLINE)
    }));
    let mut drunk = std::pin::pin!(drunk);
    let mut most = 0;
    let drunk = loop {
        most = most.max(coming(&node.usage()));
        let look = tokio::time::timeout(Duration::from_millis(1), &mut drunk);
        if let Ok(drunk) = look.await {
            break drunk;
        }
    };
    assert_eq!(drunk, vec![Ok(3 * (800 << 10)); 4]);
    assert!(most >= 800 << 10, "{most} bytes were counted");
    assert_eq!(coming(&node.usage()), 0);
    client.close().await;
    node.stop().await;
}

const CALLS: &str = "calls that wait for a peer";
const REPLIES: &str = "bytes of replies that wait";
/// In each direction half of as many as the caller may open.
const STREAMS: usize = 60;
const MISSED: &str = "streams without their call";
const COMING: &str = "bytes of large bodies and items that come";
